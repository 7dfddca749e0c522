"""Dates as GoodReads writes them: the same seconds as strptime, whatever the locale."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.data.reading.ruby_dates import seconds_of

FORM = "%a %b %d %H:%M:%S %z %Y"
DATE = "Mon Aug 10 22:28:14 -0700 2009"
MOMENTS = st.datetimes(
    datetime.datetime(1000, 1, 2),
    datetime.datetime(9999, 12, 30),
    timezones=st.integers(-1439, 1439).map(
        lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
    ),
)


@given(moments=st.lists(MOMENTS, min_size=1, max_size=20), cut=st.integers(0, 5))
def test_dates_are_read_as_strptime_reads_them(moments: list[datetime.datetime], cut: int) -> None:
    texts = [moment.strftime(FORM) for moment in moments]
    seconds, good = seconds_of(pa.array(["x", "", *texts], pa.string()).slice(min(cut, 2)))
    assert good[-len(texts) :].all()
    assert not good[: -len(texts)].any()
    expected = [datetime.datetime.strptime(text, FORM).timestamp() for text in texts]
    assert seconds[-len(texts) :].tolist() == expected


@given(at=st.integers(0, 29), sign=st.characters(max_codepoint=255))
def test_a_date_with_one_wrong_sign_is_none_or_the_one_that_strptime_reads(
    at: int, sign: str
) -> None:
    text = DATE[:at] + sign + DATE[at + 1 :]
    seconds, good = seconds_of(pa.array([text]))
    try:
        expected = datetime.datetime.strptime(text, FORM).timestamp()
    except ValueError:
        assert not good[0]
    else:  # strptime also takes mon, AUG, and a space for a leading zero
        assert seconds[0] == expected if good[0] else text != DATE


def test_dates_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    if shutil.which("localedef") is None:
        pytest.skip("no localedef to make a German locale with")
    german = tmp_path / "de_DE.UTF-8"
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", str(german)], capture_output=True, check=False
    )
    if not german.exists():
        pytest.skip(f"localedef makes no German locale: {made.stderr!r}")
    script = (
        "import datetime, locale, pyarrow as pa\n"
        "from reclora_cli.data.reading.ruby_dates import seconds_of\n"
        "locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')\n"
        "print(datetime.date(2009, 10, 1).strftime('%b'))\n"
        "print(seconds_of(pa.array(['Thu Oct 01 00:00:00 +0000 2009'])))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LOCPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.startswith("Okt")
    assert "1254355200" in child.stdout
