from __future__ import annotations

import gzip

import pytest

from xmlkit.data.label_list import read_label_list
from xmlkit.errors import UserError


def test_an_id_a_line_or_a_vocabulary(tmp_path):
    plain = tmp_path / "some.txt"
    plain.write_bytes(b"\xef\xbb\xbfw3\r\n\r\n <http://example.org/a b> \n007\nw3\n")
    assert read_label_list(plain) == ["w3", "http://example.org/a b", "007", "w3"]
    with gzip.open(tmp_path / "labels.tsv.gz", "wt") as file:
        file.write("<w3>\tthree\nw4\t\n")
    assert read_label_list(tmp_path / "labels.tsv.gz") == ["w3", "w4"]


def test_of_a_vocabulary_in_several_languages_no_name_is_read(tmp_path):
    (tmp_path / "labels.csv").write_text("uri,label_en,label_fi\n<w3>,three,kolme\nw4,four,\n")
    assert read_label_list(tmp_path / "labels.csv") == ["w3", "w4"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("\n \n", "names no label"), (None, "no such file"), (b"\xff\xfe", "1: not valid UTF-8")],
)
def test_mistakes(tmp_path, content, expected):
    path = tmp_path / "some.txt"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=expected) as error:
        read_label_list(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
