"""Which texts are calendar events: those of Proxmox's own documentation, and near misses."""

import pytest

from pvesim.schema import calendar


@pytest.mark.parametrize(
    "text",
    [
        *(
            "minutely",
            "daily",
            "Weekly",
            "semi-annually",
            "mon",
            "mon,tue,wed,thu,fri",
            "mon..fri",
            "Sunday",
            "sun 01:00",
        ),
        *("12:05", "*/5", "0/30", "mon..wed 30/10", "mon..fri 8..17,22:0/15", "fri 12..13:5/20", "12/2:5", "*", "*-05"),
        *("Sat *-1..7 15:00", "2023-10-22", "*-*-* 01:02:03", "mon *-01,07-01 00:00:00", "21:00:30"),
    ],
)
def test_calendar_events(text: str) -> None:
    assert calendar.valid(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "foo bar",
            "funday",
            "25:00",
            "12:60",
            "60",
            "mon..",
            "1:2:3:4",
            "daily daily",
            "mon tue",
            "*-13-01",
            "01:00 mon",
        ),
        *("17..8:00", " 12:00", "12:00 ", "12:00 13:00", "1-2-3-4", "@daily"),
    ],
)
def test_what_is_none(text: str) -> None:
    assert not calendar.valid(text)
