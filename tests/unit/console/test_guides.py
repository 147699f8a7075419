"""The guides: the same in both languages, readable marks, and the pages of the documents."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs import idp_pages
from rollcall_console.guides.guides import FOLDER, PROVIDERS, Guide, guide, guides, pieces
from rollcall_console.web.words import LANGUAGES


def sentences(found: Guide) -> list[str]:
    rows = [*found.users, *found.groups]
    return [
        *found.before, *found.steps, *found.test, *found.pitfalls, found.look,
        *(row.remark for row in rows),
    ]  # fmt: skip


def test_each_file_is_a_guide_and_each_guide_a_page() -> None:
    files = {path.stem for path in FOLDER.glob("*.toml")} - {"common"}
    pages = {path.stem for path in idp_pages.FOLDER.glob("*.md")} - {"README"}
    assert files == set(PROVIDERS) == pages
    assert [each.provider for each in guides("nl")] == list(PROVIDERS)
    with pytest.raises(KeyError):
        guide("common", "en")
    with pytest.raises(KeyError):
        guide("../guides/okta", "en")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_both_languages_say_the_same(provider: str) -> None:
    """As many sentences, with the same names of the product and the same code, in that order."""
    english, dutch = guide(provider, "en"), guide(provider, "nl")
    assert len(english.users) >= 4
    for one, other in zip(sentences(english), sentences(dutch), strict=True):
        assert (one == "") == (other == "")
        assert one != other or not re.search(r"[a-z]{3} [a-z]{3}", re.sub(r"[*`].*?[*`]", "", one))
        for style in ("label", "code", "url"):
            marked = [
                sorted(
                    text
                    for kind, text in pieces(each)
                    if kind == style and text not in ("Members", "Leden")
                )
                for each in (one, other)
            ]
            assert marked[0] == marked[1], (one, other)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_guide_says_where_url_and_key_go(provider: str, language: str) -> None:
    found = guide(provider, language)
    text = " ".join(found.steps)
    assert "{url}" in text
    assert {"en": "key", "nl": "sleutel"}[language] in text
    assert not re.search(r"[{*`]", "".join(piece for _, piece in pieces(text) if piece != "{url}"))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_page_of_the_documents_is_written_from_the_guide(provider: str) -> None:
    written = (idp_pages.FOLDER / f"{provider}.md").read_text(encoding="utf-8")
    assert written == idp_pages.page(provider), "run `make docs`"
    assert "{url}" not in written


@given(st.text(alphabet=st.sampled_from("ab *`{url}"), max_size=40))
def test_no_text_is_lost_between_the_marks(text: str) -> None:
    shown = "".join(piece for _, piece in pieces(text))
    assert re.sub(r"[*`]", "", text) == re.sub(r"[*`]", "", shown)
