"""`make export`: what a run has trained opens elsewhere and answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from datamodules.samples import AnswerType, SmallSpatialError, SpatialSample
from experiments.export import export, make_module, trained_module, write_adapter
from experiments.run_folders.run_folder import RunError, RunFolder
from lightning_modules.checkpoints import CheckpointError, keep_trainable
from lightning_modules.vlm.adapters import AdapterError, four_bit_config, prompt_tokens
from lightning_modules.vlm.chat_templates import CHATML
from lightning_modules.vlm.prompts import question_text
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.vlm.tokenizers import make_tokenizer
from tests.helpers.commands import Command
from tests.helpers.questions import TEXTS, noise_image
from tests.helpers.small_models import as_if_trained, logits, question

PEFT_SFT = "lightning_modules.vlm.sft.PeftSft"
SIZE = {"width": 64, "layers": 2, "vision_layers": 2}
EVERY = pytest.mark.every_file


def settings(model: str, **adapter: Any) -> dict[str, Any]:
    """The model's part of a run's configuration."""
    return {
        "class_path": PEFT_SFT,
        "init_args": {
            "model": model,
            "random_weights": True,
            "tiny_size": dict(SIZE),
            "adapter": adapter,
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
        },
    }


def composed_of_parts(folder: Path) -> dict[str, Any]:
    """A model that is put together of an encoder and a language model in a folder, and of known weights."""
    model, _ = make_tiny_model("composed", size=TinySize(**SIZE))
    model.language_model.save_pretrained(folder)
    tokenizer = make_tokenizer(["<|im_start|>"], CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    return {
        "encoder": "test_vit",
        "language_model": str(folder),
        "encoder_weights": "none",
        "image_size": 128,
        "image_tokens": 16,
    }


def opened(folder: Path) -> dict[str, Any]:
    """What the code of a folder's README makes: `model`, `processor` and `ask`."""
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    made: dict[str, Any] = {}
    exec(code, made)
    for layer in made["model"].modules():
        # On some CPUs bitsandbytes would take a kernel for inference, which rounds otherwise.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return made


def assert_answers_like(module: Any, folder: Path, tolerance: float = 1e-4) -> None:
    """The folder's model gives a run's logits, to a share of their spread."""
    made = opened(folder)
    inputs = question(made["processor"], module.adapter)
    expected = logits(module.network, inputs)
    found = logits(made["model"], inputs)
    assert torch.equal(found.isfinite(), expected.isfinite())
    torch.testing.assert_close(found, expected, atol=tolerance * float(expected.std()), rtol=0)


def run_with(folder: Path, model: dict[str, Any]) -> tuple[RunFolder, Any]:
    """A run that ends with a checkpoint of a model, and the model."""
    run = RunFolder(folder)
    run.checkpoint.parent.mkdir(parents=True)
    run.config.write_text(yaml.safe_dump({"name": "stub", "model": model}))
    torch.manual_seed(0)
    module = make_module(model)
    as_if_trained(module)
    torch.save({"state_dict": keep_trainable(module, module.state_dict())}, run.checkpoint)
    return run, module.eval()


@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        ("smolvlm_500m", {"method": "lora", "also_train": ["connector"]}),
        ("qwen2_5_vl_3b", {"method": "lora", "four_bit": True, "target_modules": ["query_value"]}),
        ("internvl3_1b", {"method": "prompt_tuning", "virtual_tokens": 3}),
        ("paligemma2_3b", {"method": "dora", "parts": ["language_model", "vision_tower"]}),
    ],
)
def test_adapter_base_and_merged_model_answer_like_the_run(
    model: str, adapter: dict[str, Any], tmp_path: Path
) -> None:
    """Opened as anybody would open them, without this project."""
    if adapter.get("four_bit"):
        pytest.importorskip("bitsandbytes")
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    run, module = run_with(tmp_path / "run", settings(model, **adapter))
    to = tmp_path / "elsewhere"
    said = export(run, to, merge=True)
    assert said[0].startswith(f"Adapter: {to / 'adapter'}") and str(to / "merged") in said[-1]

    processor = AutoProcessor.from_pretrained(to / "base")
    inputs = question(processor, module.adapter)
    expected = logits(module.network, inputs)
    base: Any = AutoModelForImageTextToText.from_pretrained(
        PeftConfig.from_pretrained(str(to / "adapter")).base_model_name_or_path,
        quantization_config=four_bit_config(module.adapter, module.vlm.family.parts),
    )
    for layer in base.modules():
        # On some CPUs bitsandbytes would take a kernel for inference, which rounds otherwise.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    opened = PeftModel.from_pretrained(base, to / "adapter").eval()
    torch.testing.assert_close(logits(opened, inputs), expected, atol=1e-5, rtol=0)
    merged = AutoModelForImageTextToText.from_pretrained(to / "merged").eval()
    # In 4 bits products are computed in bfloat16, merged in float32.
    tolerance = 0.1 * float(expected.std()) if module.adapter.four_bit else 1e-5
    torch.testing.assert_close(logits(merged, inputs), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("method", "whole"),
    [
        ("lora", ()),
        pytest.param("dora", ("connector",), marks=EVERY),
        ("rslora", ("vision_tower", "connector")),
        pytest.param("ia3", ("connector",), marks=EVERY),
        ("bottleneck", ("vision_tower",)),
    ],
)
def test_adapters_of_composed_models_open_as_their_readme_says(
    method: str, whole: tuple[str, ...], tmp_path: Path
) -> None:
    model = settings("composed", method=method, also_train=list(whole))
    run, module = run_with(tmp_path / "run", model)
    merge = method != "bottleneck" and bool(whole)
    said = export(run, tmp_path, merge)
    assert str(tmp_path / "base") in said[1] and "import register; register()" in said[1]
    assert_answers_like(module, tmp_path / "adapter")
    if merge:
        assert "import register; register()" in said[-1]
        assert_answers_like(trained_module(run, model), tmp_path / "merged")


@pytest.mark.parametrize(
    ("random_weights", "adapter"),
    [
        (False, {"method": "lora", "four_bit": True, "also_train": ["connector"]}),
        pytest.param(True, {"method": "lora", "four_bit": True, "also_train": ["connector"]}, marks=EVERY),
        pytest.param(False, {"method": "dora", "four_bit": True}, marks=EVERY),
        pytest.param(False, {"method": "prompt_tuning", "virtual_tokens": 3}, marks=EVERY),
        (False, {"method": "prompt_tuning", "virtual_tokens": 3, "four_bit": True}),
        (True, {"method": "bottleneck", "four_bit": True}),
    ],
    ids=str,
)
def test_composed_models_in_4_bits_and_with_added_tokens(
    random_weights: bool, adapter: dict[str, Any], tmp_path: Path
) -> None:
    """Put together here, its language model alone is in 4 bits; a tiny random model is as a whole."""
    if adapter.get("four_bit"):
        pytest.importorskip("bitsandbytes")
    model = settings("composed", **adapter)
    if not random_weights:
        model["init_args"] |= {
            "model": composed_of_parts(tmp_path / "language_model"),
            "random_weights": False,
        }
    run, module = run_with(tmp_path / "run", model)
    # On some CPUs bitsandbytes would pack these layers at the first evaluation, and train them no more.
    packing = [getattr(layer, "support_avx512bf16_for_cpu", None) for layer in module.network.modules()]
    assert set(packing) == ({None, False} if adapter.get("four_bit") else {None})
    if adapter["method"] in ("dora", "bottleneck"):
        with pytest.raises(AdapterError, match="leave MERGE out"):
            export(run, tmp_path, merge=True)
        export(run, tmp_path)
    else:
        export(run, tmp_path, merge=True)
        # In 4 bits products are computed in bfloat16, merged in float32.
        tolerance = 0.1 if adapter.get("four_bit") else 1e-4
        assert_answers_like(trained_module(run, model), tmp_path / "merged", tolerance)
    assert_answers_like(module, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("model", "method"),
    [
        pytest.param("smolvlm_500m", "prompt_tuning", marks=EVERY),
        ("smolvlm_2b", "lora"),
        ("qwen2_5_vl_3b", "prompt_tuning"),
        pytest.param("internvl3_1b", "lora", marks=EVERY),
        ("paligemma2_3b", "prompt_tuning"),
        pytest.param("composed", "prompt_tuning", marks=EVERY),
    ],
)
def test_batches_elsewhere_are_answered_as_single_questions_are_here(
    model: str, method: str, tmp_path: Path
) -> None:
    """Unequal prompts, generated by plain transformers with what lies in the folders alone."""
    kept = settings(model, method=method, virtual_tokens=3)
    kept["init_args"] |= {"answering": "generate", "maximum_new_tokens": 6}
    if model != "paligemma2_3b":
        kept["init_args"]["prompt"] = {"system": "You look closely.", "question": "Look: {question}"}
    run, _ = run_with(tmp_path / "run", kept)
    export(run, tmp_path, merge=True)
    samples = [
        SpatialSample(
            id=text, image=noise_image(number), question=text, answer="", answer_type=AnswerType.TEXT
        )
        for number, text in enumerate(TEXTS)
    ]
    here = trained_module(run, kept)
    assert isinstance(here, PeftSft)
    collator = here.collator("test")
    expected = [here.answer(collator([sample]))[0].raw for sample in samples]
    assert len(set(expected)) > 1
    images = [sample.image.open() for sample in samples if sample.image]
    for folder in ("adapter", "merged"):
        made = opened(tmp_path / folder)
        assert made["processor"].tokenizer.padding_side == "left"
        worded = [made["worded"](sample.question, form="text") for sample in samples]
        assert worded == [question_text(sample, prompt=here.prompt) for sample in samples]
        assert made["ask"](images, worded) == expected
        for name in prompt_tokens(here.adapter):
            token = made["processor"].tokenizer.convert_tokens_to_ids(name)
            assert token in made["model"].generation_config.suppress_tokens
    assert opened(tmp_path / "base")["processor"].tokenizer.padding_side == "left"


def test_a_students_adapter_is_exported_with_its_base(tmp_path: Path) -> None:
    student = settings("smolvlm_500m", method="lora")
    student["class_path"] = "lightning_modules.distillation.module.DistilledStudent"
    student["init_args"]["teacher"] = {"model": "smolvlm_2b", "random_weights": True, "tiny_size": dict(SIZE)}
    run, module = run_with(tmp_path / "run", student)
    export(run, tmp_path, merge=True)
    assert_answers_like(module, tmp_path / "adapter")
    assert_answers_like(module, tmp_path / "merged")


def test_a_base_in_a_folder_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the experiment names it by a path from where it was started."""
    model, processor = make_tiny_model("internvl", size=TinySize(**SIZE))
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    kept = settings("model", method="prompt_tuning", virtual_tokens=3)
    kept["init_args"]["random_weights"] = False
    run, module = run_with(tmp_path / "run", kept)
    said = export(run, tmp_path)
    assert said[1].startswith(f"Its base model: {tmp_path / 'model'}, opened by")
    assert not (tmp_path / "base").exists()
    monkeypatch.chdir("/")
    assert_answers_like(module, tmp_path / "adapter")
    run.path.rename(tmp_path / "model" / "run")
    with pytest.raises(RunError, match="holds the model that the run started from"):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "base").symlink_to(tmp_path / "model")
        export(RunFolder(tmp_path / "model" / "run"), tmp_path)


def test_nothing_of_an_earlier_export_is_left(tmp_path: Path) -> None:
    first, _ = run_with(tmp_path / "first", settings("smolvlm_500m", method="bottleneck"))
    second, module = run_with(tmp_path / "second", settings("smolvlm_500m", method="lora"))
    to = tmp_path / "elsewhere"

    def files() -> dict[str, bytes]:
        return {str(path.relative_to(to)): path.read_bytes() for path in to.rglob("*") if path.is_file()}

    export(second, to)
    alone = files()
    export(first, to)
    export(second, to, merge=True)
    export(second, to)
    assert files() == alone
    assert_answers_like(module, to / "adapter")

    notes = to / "merged" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(RunError, match=r"holds files that no export has written, such as notes\.txt"):
        export(second, to)
    assert notes.read_text() == "mine" and files().keys() - alone.keys() == {"merged/notes.txt"}


def test_the_module_of_a_run_is_as_its_checkpoint_left_it(tmp_path: Path) -> None:
    run, module = run_with(tmp_path, settings("smolvlm_500m", method="bottleneck"))
    again = trained_module(run, settings("smolvlm_500m", method="bottleneck"))
    inputs = question(module.vlm.processor)
    assert isinstance(again, PeftSft)
    assert torch.equal(logits(again.network, inputs), logits(module.network, inputs))
    with pytest.raises(CheckpointError):
        trained_module(run, settings("smolvlm_500m", method="lora"))


def test_bottlenecks_are_exported_and_not_merged(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    from lightning_modules.vlm.export import load_adapter

    run, module = run_with(tmp_path, settings("smolvlm_500m", method="bottleneck"))
    with pytest.raises(SmallSpatialError, match="cannot be merged"):
        export(run, tmp_path, merge=True)
    assert not run.adapter.exists()
    assert "load_adapter" in export(run, tmp_path)[0]
    opened = load_adapter(AutoModelForImageTextToText.from_pretrained(tmp_path / "base"), run.adapter)
    inputs = question(module.vlm.processor)
    torch.testing.assert_close(
        logits(opened.eval(), inputs), logits(module.network, inputs), atol=1e-5, rtol=0
    )


def test_a_model_trained_whole_is_exported_merged_only(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    run, module = run_with(tmp_path, settings("smolvlm_500m", method="full"))
    with pytest.raises(RunError, match="without an adapter: add MERGE=1"):
        export(run, tmp_path)
    export(run, tmp_path, merge=True)
    opened = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").eval()
    inputs = question(module.vlm.processor)
    torch.testing.assert_close(logits(opened, inputs), logits(module.network, inputs), atol=1e-5, rtol=0)


def test_what_cannot_be_exported_is_a_sentence(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path / "untrained", settings("smolvlm_500m", method="none"))
    with pytest.raises(RunError, match="trained nothing"):
        export(run, tmp_path)
    run.checkpoint.unlink()
    with pytest.raises(RunError, match="has no checkpoint"):
        export(run, tmp_path)
    stub = {"class_path": "tests.helpers.stub.StubModule", "init_args": {}}
    run, module = run_with(tmp_path / "stub", stub)
    with pytest.raises(RunError, match="StubModule is not a model of transformers"):
        export(run, tmp_path)
    assert write_adapter(module, stub, tmp_path) == []


@pytest.mark.every_file  # a first day exports one
def test_a_fit_leaves_its_adapter_and_the_command_exports_it(tmp_path: Path, command: Command) -> None:
    experiment: dict[str, Any] = {
        "name": "stub",
        "model": settings("smolvlm_500m", method="lora"),
        "data": {
            "class_path": "datamodules.cv_bench.CvBench",
            "init_args": {"scenes": {"train": 4, "val": 2, "test": 2}, "num_workers": 0, "batch_size": 2},
        },
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0},
    }
    (tmp_path / "stub.yaml").write_text(yaml.safe_dump(experiment))

    command("fit", "-c", "stub.yaml")
    latest = tmp_path / "runs" / "stub" / "latest"
    after_fit = (latest / "adapter" / "adapter_model.safetensors").read_bytes()
    run = RunFolder(latest.resolve())
    assert_answers_like(trained_module(run, experiment["model"]), run.adapter)

    finished = command("--name", "stub", "--to", "elsewhere", module="experiments.export")
    assert "opened by PeftModel.from_pretrained" in finished.stdout
    assert (tmp_path / "elsewhere" / "adapter" / "adapter_model.safetensors").read_bytes() == after_fit

    finished = command("--name", "nothing", module="experiments.export", code=1)
    assert "There is no run of 'nothing'" in finished.stderr
    assert "Traceback" not in finished.stderr
