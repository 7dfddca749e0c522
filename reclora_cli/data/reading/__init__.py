"""How files of any size are read: in streams, in bounded memory, naming the line that is wrong."""
