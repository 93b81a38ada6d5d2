"""Small data in the published formats, for the data configs that read files from disk."""

from __future__ import annotations

import atexit
import functools
import pickle
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hydra.core.hydra_config import HydraConfig
from PIL import Image
from scipy.sparse import csr_matrix

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine.companions import RECIPE, addresses


def idx(folder: Path, rng: np.random.Generator) -> list[str]:
    for part, count in (("train", 200), ("t10k", 40)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())
    return [f"data.root={folder}", "data.download=false"]


def cifar10(folder: Path, rng: np.random.Generator) -> list[str]:
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return _cifar(folder / "cifar-10-batches-bin", names, 1, 10, rng)


def cifar100(folder: Path, rng: np.random.Generator) -> list[str]:
    return _cifar(folder / "cifar-100-binary", ["train.bin", "test.bin"], 2, 100, rng)


def _cifar(folder: Path, names: list[str], label_bytes: int, classes: int, rng: np.random.Generator) -> list[str]:
    folder.mkdir()
    for name in names:
        records = rng.integers(0, 256, (2 * classes, label_bytes + 3072), dtype=np.uint8)
        records[:, :label_bytes] = (np.arange(2 * classes) % classes)[:, None]
        (folder / name).write_bytes(records.tobytes())
    return [f"data.root={folder.parent}", "data.download=false"]


def pictures(folder: Path, rng: np.random.Generator) -> list[str]:
    for name in ("cat", "dog", "hen"):
        (folder / name).mkdir()
        for i in range(12):
            size = (40 + i, 36, 3)
            Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / name / f"{i}.png")
    return [f"data.path={folder}", "data.image_size=16"]


def csv_table(folder: Path, rng: np.random.Generator) -> list[str]:
    rows = [f"{rng.normal():.3f},{rng.choice(['red', 'blue'])},{('no', 'yes')[i % 2]}" for i in range(60)]
    path = folder / "table.csv"
    path.write_text("\n".join(["size,colour,bought", *rows]) + "\n", encoding="utf-8")
    return [f"data.path={path}", "data.target=bought"]


def tsv(folder: Path, rng: np.random.Generator) -> list[str]:
    words = ["good", "bad", "film", "plot", "actor", "dull", "fine"]
    rows = [f"{('neg', 'pos')[i % 2]}\t{' '.join(rng.choice(words, 9))} {i}" for i in range(80)]
    path = folder / "texts.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [f"data.path={path}"]


def conll(folder: Path, rng: np.random.Generator) -> list[str]:
    names, words = ["Ada Lovelace", "Bern", "Alan Turing"], ["met", "saw", "in", "and", "today"]
    for part in ("train", "val", "test"):
        sentences = []
        for _ in range(40):
            first, *rest = rng.choice(names).split()
            tagged = [(first, "B-NAME"), *((word, "I-NAME") for word in rest)]
            tagged += [(word, "O") for word in rng.choice(words, rng.integers(1, 6))]
            sentences.append("\n".join("\t".join(pair) for pair in tagged))
        (folder / f"{part}.bio").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    return [f"data.{part}={folder / part}.bio" for part in ("train", "val", "test")]


def conllu(folder: Path, rng: np.random.Generator) -> list[str]:
    words = [("the", "DET"), ("a", "DET"), ("dog", "NOUN"), ("cats", "NOUN"), ("run", "VERB"), ("sleeps", "VERB")]
    for part in ("train", "val", "test"):
        sentences = []
        for _ in range(40):
            chosen = [words[i] for i in rng.integers(len(words), size=rng.integers(2, 7))]
            rows = [f"{i}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_" for i, (word, tag) in enumerate(chosen, start=1)]
            sentences.append("\n".join(["# text", *rows]))
        (folder / f"{part}.conllu").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    return [f"data.{part}={folder / part}.conllu" for part in ("train", "val", "test")]


def roles(folder: Path, rng: np.random.Generator) -> list[str]:
    names, verbs = ["she", "Ada", "Bern"], ["saw", "met", "left"]
    for part in ("train", "val", "test"):
        sentences = []
        for _ in range(40):
            agent, verb, theme = rng.choice(names), rng.choice(verbs), rng.choice(names)
            cells = [(agent, "-", "(A0*)"), (verb, verb, "(V*)"), ("old", "-", "(A1*"), (theme, "-", "*)")]
            sentences.append("\n".join("\t".join(cell) for cell in cells))
        (folder / f"{part}.roles").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    return [f"data.{part}={folder / part}.roles" for part in ("train", "val", "test")]


def people_daily(folder: Path, rng: np.random.Generator) -> list[str]:
    return ["data.max_documents=12", "data.val_fraction=0.2", "data.test_fraction=0.2"]


def corpus(folder: Path, rng: np.random.Generator) -> list[str]:
    return ["data.length=100", "data.min_count=20", "data.val_fraction=0.005", "data.test_fraction=0.005"]


def text_pairs(folder: Path, rng: np.random.Generator) -> list[str]:
    words = ["one", "two", "three", "four", "five"]
    rows = {" ".join(rng.choice(words, rng.integers(1, 4))) for _ in range(150)}
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{row}\t{row[::-1].upper()}\n" for row in sorted(rows)), encoding="utf-8")
    return [f"data.path={path}", "model.network.encoder_layers=1", "model.network.decoder_layers=1"]


def dates(folder: Path, rng: np.random.Generator) -> list[str]:
    sizes = ["data.train_size=600", "data.val_size=60", "data.test_size=60"]
    return [*sizes, "model.network.encoder_layers=1", "model.network.decoder_layers=1"]


def python_reference_text(folder: Path, rng: np.random.Generator) -> list[str]:
    return ["data.val_fraction=0.005", "data.test_fraction=0.005", "data.order=2", "model.network.num_layers=1"]


def running_text(folder: Path, rng: np.random.Generator) -> list[str]:
    lines = [" ".join(rng.choice(["the", "quick", "brown", "fox", "jumps"], 9)) for _ in range(120)]
    path = folder / "text.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return [f"data.path={path}", "model.network.num_layers=1"]


def planetoid(folder: Path, rng: np.random.Generator) -> list[str]:
    def held(rows: int) -> dict[str, object]:
        classes = np.arange(rows) % 7
        words = rng.integers(0, 2, (rows, 12)) + np.eye(7, 12)[classes]
        return {"x": csr_matrix(words, dtype=np.float32), "y": np.eye(7, dtype=np.int32)[classes]}

    known, test = held(70), held(21)
    order = 70 + rng.permutation(21)
    parts = {"x": known["x"][:21], "y": known["y"][:21], "allx": known["x"], "ally": known["y"]}  # type: ignore[index]
    parts |= {"tx": test["x"], "ty": test["y"]}
    parts["graph"] = {node: rng.integers(0, 91, 3).tolist() for node in range(91)}
    for name, part in parts.items():
        (folder / f"ind.cora.{name}").write_bytes(pickle.dumps(part, protocol=3))
    (folder / "ind.cora.test.index").write_text("\n".join(map(str, order)) + "\n", encoding="utf-8")
    return [f"data.root={folder}"]


def graph_tables(folder: Path, rng: np.random.Generator) -> list[str]:
    nodes = [f"n{i},{rng.normal():.3f},{rng.choice(['red', 'blue'])},{('no', 'yes', '')[i % 3]}" for i in range(60)]
    edges = [f"n{source},n{target}" for source, target in rng.integers(0, 60, (150, 2))]
    for name, header, rows in (("nodes", "id,size,colour,club", nodes), ("edges", "source,target", edges)):
        (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return [f"data.nodes={folder / 'nodes.csv'}", f"data.edges={folder / 'edges.csv'}", "data.target=club"]


#: By data config: writes files into an empty folder and gives the overrides that point there. Configs that are not here
#: must run as they are.
STAND_INS: dict[str, Callable[[Path, np.random.Generator], list[str]]] = {
    "images/mnist": idx,
    "images/fashion_mnist": idx,
    "images/cifar10": cifar10,
    "images/cifar100": cifar100,
    "images/folder": pictures,
    "tabular/csv": csv_table,
    "text/tsv": tsv,
    "text/tsv_rows": tsv,
    "text/conll": conll,
    "text/conllu": conllu,
    "text/roles": roles,
    "text/people_daily": people_daily,
    "text/corpus_people_daily": corpus,
    "text/dates": dates,
    "text/pairs": text_pairs,
    "text/python_reference_text": python_reference_text,
    "text/text_files": running_text,
    "graphs/planetoid": planetoid,
    "graphs/csv": graph_tables,
}


def stand_in(recipe: str, folder: Path, rng: np.random.Generator) -> list[str]:
    """Overrides that give a recipe on files from disk small files of the same format, written into `folder`, one that
    needs other runs beside it runs of few steps, and one that makes samples few to make."""
    config = compose("train", [f"experiment={recipe}"])
    choice = HydraConfig.get().runtime.choices["data"]
    files = STAND_INS[choice](folder, rng) if choice in STAND_INS else []
    fewer = [f"model.{key}=20" for key in ("num_samples", "test_samples", "eval_samples") if key in config.model]
    return files + fewer + [f"model.{name}={_companion(address)}" for name, address in addresses(config)]


@functools.cache
def _companion(address: str) -> Path:
    """A run of the recipe that the address names, cut short; one for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="tenfold-companion-")) / "run"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    short = [
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=3",
        "callbacks.progress=null",
        "logger=none",
        "test=false",
        "trainer.accelerator=cpu",
    ]
    recipe = address.removeprefix(RECIPE)
    assert train(compose("train", [f"experiment={recipe}", f"folder={folder}", "threads=1", *short])) == 0
    return folder
