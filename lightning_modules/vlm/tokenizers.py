"""A small tokenizer made in memory, for tiny random models: the project's words, bytes for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

# What questions about space are made of. Each word becomes one token; whatever else is split into pieces and
# at last into bytes, so that nothing is unknown.
WORDS = """
a about above across after again against all along also always am among an and angle animal annotated
another answer answers any apart appear appears approximate approximately are area armchair around as
aside assuming at available away back background bag ball balls barrel barrels based basket be because
bed beds before behind being below bench benches beneath beside besides best between beyond bicycle
bigger bin bins bird black block blue boat book bookcase books bookshelf bookshelves both bottle bottom
bounding bowl box boxes brick brief briefly broom brown bucket buffer building bus bush but by cabinet
cabinets calculate camera can candle car carpet cars cart carton cartons cat ceiling center centimeters
centimetres centre chair chairs child choice choices clock closer closest coffee colored coloured compare
computer cone cones confirm considering contain container contains coordinates corner correct couch could
count counted counter crate crates cube cup curtain cyan cylinder dark depth depths description desk
determine diagonal difference direction distance distances distant do does dog done door drawer drawn
dresser drum each east edge eight either eleven empty engine equal estimate estimated exactly face faces
facing far farther farthest feet fence fewer fewest figure fire first five floor flower following foot
for forklift fountain four frame fridge from front full further furthest garden gate give given glass
goes gold grass gray green grey ground group hand has hat have he height held hence her here high higher
highest highlighted his holds horizontal horizontally house how hydrant hydrants if image images in inch
inches included inside into is it its just keyboard know known ladder lamp lamps laptop large larger
largest last lawn leaf least left leftmost length less letter letters lies light likely line list located
long longer look looking looks low lower lowest made magenta mailbox mailboxes many marked marks me
measure measured meter meters metre metres microwave middle might mind mirror monitor more most moving
much mug my name near nearer nearest need next nightstand nine no none north not number numbered object
objects of off on one only opposite option options or orange order organ organs other our out outside
oven over pair pallet pallets paper parasol parasols part past path pedestal people person perspective
photo picture pillar pillow pink placed plant plants plate point points pole position positioned
positions possible pot potted printer provided purple pyramid question rack rather reach reads real
reason reasoning red refrigerator region regions relation relative respect right rightmost road robot
room rug same say scale scene screen second see seem seen select seven shape shelf shelves shortest
should show shown shows side sides sign silver similar sink situated six size sizes small smaller
smallest so sofa sofas some someone south space spatial sphere stairs stand standing stands statue step
still stone stool stools stove straight suitcase sum table tables taking tall taller tallest tank teal
television televisions tell ten text than that the their them then there therefore these they think third
this those thought three through thus tire to together toilet top toward towards towel toy traffic
transporter trash tray tree trees truck turn turned turning twelve two umbrella under unit units up upper
us using value vase vases vehicle vertical vertically view viewer viewpoint visible wall want wardrobe
warehouse was way we well were west what wheel wheelbarrow when where whether which while white whole
whose wide wider widest width will window with within without wood wooden world would write yard yellow
yes you your zero
"""

CAPITALISED = """
A Among Answer Are Assistant Both Can Choices Compare Consider Considering Count Do Does Estimate First
Five Four From Give How I If In Is It Left Looking Measured No On One Out Question Region Right Select So
Tell The Then There Therefore These Think This Three Total Two User What Where Which Yes You Your
"""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MARKS = ("think", "answer", "left", "right", "\n\n", " (", "],", " [", "</", "'s", " -", "...")


def _corpus() -> Iterator[str]:
    yield from (f" {word}" for word in (*WORDS.split(), *CAPITALISED.split(), *LETTERS))
    yield from CAPITALISED.split()
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
