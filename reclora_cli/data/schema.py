"""Every column named once."""

from __future__ import annotations

USER = "user_id"
ITEM = "item_id"
RATING = "rating"
TIME = "timestamp"
TITLE = "title"
GENRE = "genre"
GENRES = "genres"
GENDER = "gender"
AGE = "age"
JOB = "job"
ZIPCODE = "zipcode"
AUTHOR = "author"
PUBLISHER = "publisher"
YEAR = "year"

ROW = "row_id"
LABEL = "label"

HISTORY_FIELDS = ("history_item", "history_rating")

SPLITS = ("train", "valid", "test")
