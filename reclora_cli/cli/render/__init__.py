"""One file a result: frozen dataclass in, Rich renderable out."""
