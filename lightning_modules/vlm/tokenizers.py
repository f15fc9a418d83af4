"""A small tokenizer made in memory, for the twins: words of the project's questions, and bytes for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

# The words that questions about space are made of. Each becomes one token; whatever else is split into pieces
# and at last into bytes, so that nothing is unknown.
WORDS = """
a about above across after again against all along also always am among an and angle another any apart appear
appears approximate approximately are area around as aside assuming at available away back background based be
because before behind being below beneath beside besides best between beyond bigger both bottom bounding box boxes
but by calculate camera can center centre centimetres centimeters centre closer closest colored coloured compare
confirm considering contain contains coordinates corner correct could count counted depth depths description
determine diagonal difference direction distance distances distant do does done each east edge either empty
equal estimate estimated exactly face faces facing far farther farthest feet fewer fewest first five following
foot for four frame from front full further furthest give given goes ground group hand has have he height held
hence her here high higher highest his holds horizontal horizontally how if image images in inch inches included
inside into is it its just know known large larger largest last least left leftmost length less lies likely
line list located long longer look looking looks low lower lowest made many marked marks me measure measured
meter meters metre metres middle might more most moving much my name near nearer nearest need next no none north
not number numbered object objects of off on one only opposite option options or order other our out outside over
pair part past perspective picture placed point points position positioned positions possible question
rather reach reads region regions relative relation right rightmost room same say scale scene second see seem
seen select shape shortest should show shown shows side sides similar situated size sizes small smaller smallest
so some someone south space spatial stand standing stands step still straight sum tall taller tallest tell ten
than that the their them then there therefore these they third this those three through thus to together top
toward towards turn turned turning two under unit units up upper us using value vertical vertically viewer
viewpoint view visible want was way we well were west what when where whether which while whole whose wide wider
widest width will with within without would yard yellow yes you your zero six seven eight nine eleven twelve
black blue brown cyan dark gold gray green grey light magenta orange pink purple red silver teal white
armchair ball bag barrel basket bed bench bicycle bin bird block boat book books bookcase bookshelf bottle bowl
brick broom bucket buffer building bus bush cabinet can candle car carpet cart cat ceiling chair chairs child
clock coffee computer cone container couch counter crate cube cup curtain cylinder desk dog door drawer dresser
drum engine fence figure floor flower forklift fountain fridge garden gate glass grass hat house hydrant keyboard
ladder lamp laptop lawn leaf microwave mirror monitor mug nightstand organ organs oven pallet pallets paper path
pedestal people person picture pillar pillow plant plate pole pot printer pyramid rack refrigerator road robot rug
screen shelf shelves sign sink sofa sphere stairs statue stool stone stove suitcase table tank television tire
toilet towel toy traffic transporter tray tree trees truck umbrella vase vehicle wall wardrobe warehouse wheel
wheelbarrow window wood wooden animal letter letters drawn answer answers choice choices think thought reason
reasoning mind brief briefly write text name
""".split()

CAPITALISED = """
The This There These What Which Where How Is Are Does Do Can From In On If It Looking Considering Estimate
Consider Answer Select Think Give Tell Among Out Out User Assistant Region Question Choices Yes No First Then So
Therefore Left Right Two One Three Four Five Both You Your I A Measured Count Compare Total
""".split()

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MARKS = ("think", "answer", "\n\n", " (", "],", " [", "</", "'s", " -", "...", " –")


def _corpus() -> Iterator[str]:
    yield from (f" {word}" for word in (*WORDS, *CAPITALISED, *LETTERS))
    yield from CAPITALISED
    yield from MARKS


@cache
def _backend() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    # Digits stand alone, as in the tokenizers of all families here.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def make_tokenizer(special_tokens: Sequence[str], chat_template: str | None = None, **names: Any) -> Any:
    """A byte-level BPE tokenizer of about 1,500 tokens; nothing is read, fetched or drawn at random.

    Args:
        special_tokens: tokens that are never split, added after all others.
        chat_template: how a conversation is written.
        names: special tokens by their role, as transformers calls them (`eos_token`, `pad_token`, ...).
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_backend(), clean_up_tokenization_spaces=False, model_max_length=8192, **names
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(special_tokens)})
    tokenizer.chat_template = chat_template
    return tokenizer
