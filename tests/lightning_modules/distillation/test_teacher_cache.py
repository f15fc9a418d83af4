"""The files of a cache: what goes in comes out, whenever the writing was interrupted and whoever reads."""

from __future__ import annotations

import pickle
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from lightning_modules.distillation.logits.common_tokens import CommonTokens
from lightning_modules.distillation.teachers import cache_files as teacher_cache
from lightning_modules.distillation.teachers.cache_files import (
    CacheWriter,
    StoredOutput,
    TeacherCache,
    is_complete,
)
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.distillation.teachers.manifest import (
    ELSEWHERE,
    CacheError,
    Fingerprint,
    Manifest,
    StoredMaps,
    digest_of,
    fingerprint_of,
    require_same,
)
from lightning_modules.vlm.tiny_models import TinySize

K = 3
FINGERPRINT = Fingerprint(
    model="smolvlm_500m",
    random_weights=True,
    tiny_size={"layers": 2},
    weights_seed=1,
    adapter=None,
    checkpoint=None,
    four_bit=False,
    image_tokens=None,
    cache_k=K,
    temperature=2.0,
    rationale=False,
    tokenizer="0" * 64,
    end=7,
    response_template=" ",
)
MANIFEST = Manifest(FINGERPRINT, "smolvlm", 2, True, 50, CommonTokens(49, 7, 8), None)
WITH_MAPS = replace(MANIFEST, maps=StoredMaps(4, "all", "image", (0, 1)))


def key(number: int) -> str:
    return f"{number:032x}"


def output(number: int, maps: bool = False) -> StoredOutput:
    """A teacher output on a few positions, in the precision of the files."""
    generator = torch.Generator().manual_seed(number)
    positions, rows = 1 + number % 4, number % 5
    known = torch.rand(positions, K + 1, generator=generator).log_softmax(-1)
    return StoredOutput(
        prompt=(-1) ** number * (2**62 + number),
        targets=torch.randint(50, (positions,), generator=generator).int(),
        values=known[:, :K].half(),
        indices=torch.randint(50, (positions, K), generator=generator).int(),
        tail=known[:, K],
        maps=torch.rand(2, 3, rows, 4, generator=generator).half() if maps else None,
    )


def write(folder: Path, numbers: range, manifest: Manifest = MANIFEST, in_part: int = 4) -> CacheWriter:
    writer = CacheWriter(folder, manifest, in_part)
    writer.add((key(number), output(number, manifest.maps is not None)) for number in numbers)
    return writer


def assert_equal(found: StoredOutput, wanted: StoredOutput) -> None:
    assert found.prompt == wanted.prompt
    for name in ("targets", "values", "indices", "tail", "maps"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (other is None)
        assert one is None or (one.dtype == other.dtype and torch.equal(one, other)), name


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("manifest", [MANIFEST, WITH_MAPS], ids=["logits", "maps"])
def test_what_goes_in_comes_out(manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path, range(10), manifest).finish()
    cache = TeacherCache(tmp_path)
    assert cache.manifest == manifest
    assert len(cache) == 10
    for number in (7, 0, 9, 3, 4, 7):
        assert_equal(cache[key(number)], output(number, manifest.maps is not None))
    assert key(10) not in cache
    with pytest.raises(KeyError):
        cache[key(10)]


def test_the_sum_up_is_that_of_all_teacher_outputs(tmp_path: Path) -> None:
    write(tmp_path, range(5)).finish()
    written = write(tmp_path, range(11)).finish()
    masses = torch.cat([output(number).tail.exp() for number in range(11)])
    assert written.outputs == 11
    assert written.tail_mass == pytest.approx(float(masses.mean()), rel=1e-6)
    assert written.megabytes == pytest.approx(
        sum(path.stat().st_size for path in tmp_path.glob("part-*")) / 1e6
    )


class Killed(BaseException):
    """What cannot be caught by anybody on the way."""


@settings(max_examples=15, deadline=None)
@given(dies_at=st.integers(1, 5), in_part=st.integers(1, 5), after_write=st.booleans())
def test_an_interrupted_writing_goes_on_and_equals_one_in_one_go(
    dies_at: int, in_part: int, after_write: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It dies in the middle of a part, or between the writing and the renaming of one."""
    whole, parts = (tmp_path_factory.mktemp(name) / "cache" for name in ("whole", "parts"))
    write(whole, range(9), in_part=in_part).finish()
    written = 0
    save = teacher_cache.save

    def deadly(tensors: Any) -> bytes:
        nonlocal written
        written += 1
        if written == dies_at and not after_write:
            raise Killed
        return save(tensors)

    def dying_replace(path: Path, target: Path) -> Path:
        if written == dies_at and after_write and path.name.startswith(".part"):
            raise Killed
        return rename(path, target)

    rename = Path.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_cache, "save", deadly)
        patch.setattr(Path, "replace", dying_replace)
        try:
            write(parts, range(9), in_part=in_part).finish()
        except Killed:
            assert not is_complete(parts)
            for number in range(len(cache := TeacherCache(parts))):
                assert_equal(cache[key(number)], output(number))
    write(parts, range(9), in_part=in_part).finish()
    assert is_complete(parts)
    assert files(parts) == files(whole)


def test_teacher_outputs_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    write(tmp_path, range(4)).finish()
    before = files(tmp_path)
    writer = CacheWriter(tmp_path, MANIFEST, 4)
    assert all(key(number) in writer for number in range(4)) and key(4) not in writer
    assert not is_complete(tmp_path)
    writer.add([(key(0), output(1)), (key(3), output(1))])
    writer.finish()
    assert files(tmp_path) == before


class ExtractedAnswer(Dataset[torch.Tensor]):
    """Reads teacher outputs where a data-loading worker runs."""

    def __init__(self, cache: TeacherCache) -> None:
        self.cache = cache

    def __len__(self) -> int:
        return 10

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.cache[key(number)].tail.clone()


@pytest.mark.parametrize("way", ["fork", "pickle"])
def test_other_processes_read_as_well(way: str, tmp_path: Path) -> None:
    write(tmp_path, range(10)).finish()
    cache = TeacherCache(tmp_path)
    assert_equal(cache[key(0)], output(0))
    if way == "pickle":
        again = ExtractedAnswer(pickle.loads(pickle.dumps(cache)))
        read = [again[number] for number in range(len(again))]
    else:
        read = list(
            DataLoader(ExtractedAnswer(cache), batch_size=None, num_workers=1, multiprocessing_context=way)
        )
    assert all(torch.equal(tail, output(number).tail) for number, tail in enumerate(read))
    assert_equal(cache[key(9)], output(9))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2**31), st.floats(0.1, 10), st.booleans(), st.booleans())
def test_contents_come_back_from_their_text(end: int, temperature: float, tokens: bool, maps: bool) -> None:
    manifest = Manifest(
        replace(FINGERPRINT, end=end, temperature=temperature),
        "smolvlm",
        2,
        True,
        50,
        CommonTokens(49, 7, 8) if tokens else None,
        WITH_MAPS.maps if maps else None,
    )
    assert Manifest.from_json(manifest.to_json()) == manifest


def changed(name: str, value: Any) -> Fingerprint:
    return replace(FINGERPRINT, **{name: value})


DIFFERENT: dict[str, tuple[Any, str]] = {
    "model": ("smolvlm_2b", "another teacher: teacher.model is 'smolvlm_500m' there, and 'smolvlm_2b' is"),
    "random_weights": (False, "teacher.random_weights is True there"),
    "tiny_size": (None, "teacher.tiny_size is {'layers': 2} there, and not set"),
    "weights_seed": (2, "teacher.weights_seed is 1 there, and 2"),
    "four_bit": (True, "teacher.four_bit"),
    "image_tokens": (64, "teacher.image_tokens is not set there, and 64"),
    "adapter": ("1" * 64, "teacher.adapter is not set there, and a trained one"),
    "cache_k": (5, "keep the 3 likeliest tokens, but teacher.cache_k asks for 5"),
    "temperature": (1.5, "cached at temperature 2, but the loss compares at 1.5"),
    "rationale": (True, "another form: rationale is False there"),
    "tokenizer": ("2" * 64, "another tokenizer"),
    "end": (8, "another form: end is 7 there"),
    "response_template": ("", "another form: response_template is ' ' there"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_teacher_outputs_are_refused_with_what_differs(name: str, tmp_path: Path) -> None:
    write(tmp_path, range(1)).finish()
    value, message = DIFFERENT[name]
    fingerprint = changed(name, value)
    with pytest.raises(CacheError, match="make cache-teacher") as raised:
        require_same(tmp_path, FINGERPRINT, fingerprint)
    assert message in str(raised.value)
    with pytest.raises(CacheError):
        CacheWriter(tmp_path, replace(MANIFEST, fingerprint=fingerprint))
    assert is_complete(tmp_path)


WORDS = {"a": 0, "b": 1}
TINY = Teacher("smolvlm_500m", random_weights=True, tiny_size=TinySize(layers=2))


def reader(words: dict[str, int] = WORDS, end: int = 1, space: str = " ", rationale: bool = False) -> Any:
    """What of a student's way of reading is looked at."""
    return SimpleNamespace(
        processor=SimpleNamespace(tokenizer=SimpleNamespace(get_vocab=lambda: words)),
        conversation=SimpleNamespace(end_id=end, response_template=space),
        rationale=rationale,
    )


ASKED: dict[str, tuple[Any, ...]] = {
    "model": (replace(TINY, model="smolvlm_2b"),),
    "tiny_size": (replace(TINY, tiny_size=TinySize(layers=3)),),
    "weights_seed": (replace(TINY, weights_seed=2),),
    "adapter": (replace(TINY, adapter="trained"),),
    "checkpoint": (replace(TINY, checkpoint="trained"),),
    "four_bit": (replace(TINY, four_bit=True),),
    "cache_k": (replace(TINY, cache_k=8),),
    "rationale": (TINY, reader(rationale=True)),
    "tokenizer": (TINY, reader({"a": 1, "b": 0})),
    "end": (TINY, reader(end=0)),
    "response_template": (TINY, reader(space="")),
    "temperature": (TINY, reader(), 1.5),
    "image_tokens": (TINY, reader(), 2.0, 64),
}
MATTERS_NOT: dict[str, Any] = {"made_by": "x", "device": "cuda:1", "cache": "elsewhere"}
"""Of a teacher, for what it says; `image_tokens` counts as it comes from both settings."""


@pytest.mark.parametrize("name", ASKED)
def test_whatever_changes_what_a_teacher_says_changes_its_fingerprint(name: str) -> None:
    usual: tuple[Any, ...] = (TINY, reader(), 2.0, None)
    found, before = (
        asdict(fingerprint_of(*arguments)) for arguments in (ASKED[name] + usual[len(ASKED[name]) :], usual)
    )
    assert {each for each in found if found[each] != before[each]} == {name}


def test_every_setting_of_a_teacher_is_in_its_fingerprint_or_changes_nothing(tmp_path: Path) -> None:
    assert {field.name for field in fields(Teacher)} == {
        *(ASKED.keys() & TINY.__dict__.keys()),
        *MATTERS_NOT,
        "random_weights",
    }
    assert {field.name for field in fields(Fingerprint)} == {*ASKED, "random_weights"}
    assert fingerprint_of(replace(TINY, **MATTERS_NOT), reader(), 2.0, None) == fingerprint_of(
        TINY, reader(), 2.0, None
    )
    # A whole model has neither seed nor size, and is told by its files.
    (tmp_path / "config.json").write_text("{}")
    whole = Teacher(str(tmp_path), tiny_size=TINY.tiny_size)
    found, other = (
        fingerprint_of(each, reader(), 2.0, None) for each in (whole, replace(whole, weights_seed=9))
    )
    assert found == other
    assert (found.random_weights, found.weights_seed, found.tiny_size) == (False, None, None)
    (tmp_path / "config.json").write_text("[]")
    assert fingerprint_of(whole, reader(), 2.0, None).model != found.model


def test_another_teacher_is_refused_and_one_that_is_elsewhere_is_not() -> None:
    """Of a commit it is said how to go on with it."""
    cached = replace(FINGERPRINT, model="1" * 40)
    for other in ("2" * 40, "2" * 64):
        with pytest.raises(
            CacheError, match=rf"weights of teacher\.model are 2{{12}}, .*owner/name@{'1' * 40}"
        ):
            require_same(Path("cache"), cached, replace(FINGERPRINT, model=other))
    require_same(Path("cache"), cached, replace(FINGERPRINT, model=ELSEWHERE))


@pytest.mark.parametrize("name", ["adapter", "checkpoint"])
def test_a_teacher_that_has_been_trained_again_is_refused_and_one_elsewhere_is_not(name: str) -> None:
    cached, fingerprint = (changed(name, digit * 64) for digit in "12")
    with pytest.raises(CacheError, match=f"teacher's {name} has been trained again"):
        require_same(Path("cache"), cached, fingerprint)
    elsewhere = changed(name, ELSEWHERE)
    require_same(Path("cache"), cached, elsewhere)
    with pytest.raises(CacheError, match="another teacher"):
        require_same(Path("cache"), FINGERPRINT, elsewhere)
    with pytest.raises(CacheError, match="another teacher"):
        require_same(Path("cache"), cached, FINGERPRINT)


def test_a_digest_is_that_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a").write_text("1")
    (tmp_path / "one" / "b").write_text("2")
    first = digest_of(str(tmp_path / "one"))
    (tmp_path / "latest").symlink_to("one")
    assert digest_of(str(tmp_path / "latest")) == first
    (tmp_path / "one" / "b").write_text("3")
    second = digest_of(str(tmp_path / "one"))
    (tmp_path / "one" / "b").rename(tmp_path / "one" / "c")
    assert len({first, second, digest_of(str(tmp_path / "one"))}) == 3
    assert digest_of(None) is None
    assert digest_of(str(tmp_path / "nowhere")) == ELSEWHERE
    assert digest_of(str(tmp_path / "one/a")) == digest_of(str(tmp_path / "latest/a"))


def test_maps_of_another_form_are_not_added(tmp_path: Path) -> None:
    write(tmp_path, range(1), WITH_MAPS).finish()
    with pytest.raises(CacheError, match="other attention maps"):
        CacheWriter(tmp_path, MANIFEST)
    with pytest.raises(CacheError, match="other classes"):
        CacheWriter(tmp_path, replace(WITH_MAPS, vocabulary=49))


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"no teacher outputs in .*make cache-teacher"):
        TeacherCache(tmp_path / "nowhere")
    (tmp_path / "thesis.tex").write_text("half done")
    with pytest.raises(CacheError, match="holds other files and no teacher outputs"):
        CacheWriter(tmp_path, MANIFEST)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("file", ["part-00000.safetensors", "manifest.json"])
def test_damaged_files_are_refused(file: str, tmp_path: Path) -> None:
    write(tmp_path, range(1)).finish()
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CacheError, match=rf"{file}.* cannot be read .*write .*again"):
        TeacherCache(tmp_path)


@pytest.mark.parametrize("version", [2, 4])
def test_another_version_is_refused(version: int, tmp_path: Path) -> None:
    write(tmp_path, range(1)).finish()
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"version": 3', f'"version": {version}'))
    with pytest.raises(CacheError, match=f"is of version {version}, and this program reads 3.*write .*again"):
        TeacherCache(tmp_path)
