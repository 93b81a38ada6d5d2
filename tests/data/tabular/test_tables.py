import io

import numpy as np
import pytest
import torch
from sklearn import datasets

from tenfold.config.spec import spec_from_dict
from tenfold.data.tabular.base import CSV
from tenfold.data.tabular.bundled import Bundled
from tenfold.errors import UserError

COLOURS = ("red", "green", "blue")
ROWS = [
    f"{i},{i % 7 if i % 5 else ''},{COLOURS[i % 3] if i % 11 else '?'},{i % 2},{'yes' if i % 3 else 'no'}"
    for i in range(60)
]
TEXT = "id,size,colour,code,label\n" + "\n".join(ROWS) + "\n"


@pytest.fixture
def load(tmp_path):
    def write_and_load(text=TEXT, target="label", **options):
        path = tmp_path / "train.csv"
        path.write_text(text)
        data = CSV(path=str(path), target=target, **({"batch_size": 8} | options))
        data.setup()
        return data

    return write_and_load


def inputs(data, split):
    return data.splits[split].data.inputs


def read_back(data, text, tmp_path, batch_size=100):
    path = tmp_path / "new.csv"
    path.write_text(text)
    return list(data.spec.read([str(path)], batch_size))


def test_names_that_python_would_read_as_numbers_are_categories(load):
    data = load("size,code,label\n" + "\n".join(f"{i},{i % 3}_{i % 2},{'ab'[i % 2]}" for i in range(60)))
    assert data.spec.categories[0] is None and data.spec.categories[1][0] == "0_0"


def test_numeric_columns_are_standardised_with_training_statistics(load):
    data = load(ignore=["size", "colour", "code"])
    assert data.spec.columns == ("id",)
    train = [int(row[0]) for row in data.rows["train"].rows]
    assert inputs(data, "train").mean().item() == pytest.approx(0, abs=1e-6)
    assert inputs(data, "train").std(unbiased=False).item() == pytest.approx(1)
    test = np.array([int(row[0]) for row in data.rows["test"].rows])
    assert inputs(data, "test")[:, 0].tolist() == pytest.approx(
        ((test - np.mean(train)) / np.std(train)).tolist(), abs=1e-6
    )


def test_a_missing_number_is_the_training_median_and_marked(load):
    data = load(ignore=["id", "colour", "code"])
    assert data.spec.has_missing == (True,)
    assert data.spec.network_arguments() == {"in_features": 2, "num_classes": 2}
    known = [float(row[1]) for row in data.rows["train"].rows if row[1]]
    spec = data.spec
    assert spec.medians[0] == np.median(known)
    for split in data.splits:
        for row, (value, missing) in zip(data.rows[split].rows, inputs(data, split).tolist()):
            assert missing == (row[1] == "")
            expected = float(row[1]) if row[1] else np.median(known)
            assert value * spec.stds[0] + spec.means[0] == pytest.approx(expected, abs=1e-5)


def test_categories_are_indicators_and_missing_is_one_of_them(load):
    data = load(ignore=["id", "size", "code"])
    assert data.spec.categories == (("", "blue", "green", "red"),)
    for split in data.splits:
        for row, indicators in zip(data.rows[split].rows, inputs(data, split)):
            assert indicators.sum() == 1
            assert data.spec.categories[0][int(indicators.argmax())] == row[2].replace("?", "")


def test_a_code_can_be_told_to_be_a_category(load):
    assert load().spec.categories[-1] is None
    assert load(categorical=["code"]).spec.categories[-1] == ("0", "1")


def test_the_file_read_for_prediction_is_encoded_as_in_training(load, tmp_path):
    data = load()
    batches = read_back(data, TEXT, tmp_path, batch_size=25)
    assert [len(names) for names, _ in batches] == [25, 25, 10]
    assert batches[0][0][0] == f"{tmp_path}/new.csv:2"
    whole = torch.cat([batch for _, batch in batches])
    for split in data.splits:
        index = [int(row[0]) for row in data.rows[split].rows]
        assert whole[index].equal(inputs(data, split))


def test_prediction_needs_no_target_and_takes_columns_in_any_order(load, tmp_path):
    data = load()
    expected = read_back(data, TEXT, tmp_path)[0][1]
    shuffled = "colour,extra,code,id,size\n" + "\n".join(
        f"{colour},x,{code},{i},{size}" for i, size, colour, code, _ in (row.split(",") for row in ROWS)
    )
    assert read_back(data, shuffled, tmp_path)[0][1].equal(expected)


def test_unseen_categories_are_unknown_and_new_gaps_are_the_median(load, tmp_path):
    data = load()
    (_, found), = read_back(data, "id,size,colour,code\n,3,violet,NA\n", tmp_path)  # fmt: skip
    spec = data.spec
    assert spec.network_arguments()["in_features"] == found.shape[1] == 1 + 2 + 4 + 1
    assert found[0, 0].item() == pytest.approx((spec.medians[0] - spec.means[0]) / spec.stds[0], abs=1e-6)
    assert found[0, 3:7].tolist() == [0, 0, 0, 0]


def test_stdin_is_read_for_prediction(load, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    (names, found), = load().spec.read(["-"], 100)  # fmt: skip
    assert names[0] == "stdin:2"
    assert len(found) == 60


def test_prediction_names_what_is_wrong(load, tmp_path):
    data = load()
    with pytest.raises(UserError, match=r"new\.csv: no column 'colour'; did you mean 'color'\?"):
        read_back(data, "id,size,color,code\n1,2,red,0\n", tmp_path)
    with pytest.raises(UserError, match=r"new\.csv, line 3: found 'big' in column 'size', expected a finite number"):
        read_back(data, "id,size,colour,code\n1,2,red,0\n1,big,red,0\n", tmp_path)


def test_the_spec_survives_a_checkpoint(load, tmp_path):
    spec = load().spec
    torch.save(spec.to_dict(), tmp_path / "spec.pt")
    assert spec_from_dict(torch.load(tmp_path / "spec.pt", weights_only=True)) == spec
    assert spec.network_arguments().keys() == spec.provides
    assert "colour: 1 for 'red', else 0" in spec.preprocessing()["features"]
    assert "size: 1 where missing, else 0" in spec.preprocessing()["features"]


def test_classes_that_are_numbers_are_in_their_order(load):
    text = "x,grade\n" + "".join(f"{i},{(10, 9, 2)[i % 3]}\n" for i in range(30))
    data = load(text, target="grade")
    assert data.spec.class_names == ("2", "9", "10")
    assert data.labels("train").unique().tolist() == [0, 1, 2]


def test_constant_columns_do_no_harm(load):
    data = load("x,label\n" + "".join(f"5,{'ab'[i % 2]}\n" for i in range(20)))
    assert inputs(data, "train").unique().tolist() == [0]


@pytest.mark.parametrize("text, options, message", [
    (TEXT, {"target": "labl"}, r"no column 'labl'; did you mean 'label'\?"),
    (TEXT, {"ignore": ["ids"]}, r"no column 'ids'; did you mean 'id'\?"),
    (TEXT, {"numeric": ["colour"]}, "line 3: found 'green' in column 'colour', expected a finite number"),
    (TEXT, {"numeric": ["id"], "categorical": ["id"]}, "column 'id' is in both numeric and categorical"),
    (TEXT, {"ignore": ["id", "size", "colour", "code"]}, "no column to learn from beside 'label'"),
    (TEXT, {"target": "id"}, "target column 'id' has 60 different values in 60 rows"),
    (TEXT, {"val_fraction": 0.5, "test_fraction": 0.5}, r"val_fraction \+ data\.test_fraction: found 1\.0"),
    (TEXT, {"separator": "ab"}, r"data\.separator: found 'ab', expected one character"),
    (TEXT.replace(",0,yes", ",inf,yes"), {}, "found 'inf' in column 'code', expected a finite number"),
    (TEXT.replace("yes", "no"), {}, "all 60 samples are of one class"),
    ("x,label\n1,a\n2,\n", {}, "line 3: no value in the target column 'label'"),
    ("x,y,label\n" + "1,,a\n2,,b\n" * 9, {}, r"column 'y' has no value in any training row.*data\.ignore=\[y\]"),
    ("x,label\n1,a\n2,b\n3,a\n4,b\n", {}, "the val split is empty"),
])  # fmt: skip
def test_what_cannot_be_learned_from_is_told_in_one_line(load, text, options, message):
    with pytest.raises(UserError, match=message) as caught:
        load(text, **options)
    assert "\n" not in str(caught.value)


def test_a_column_of_names_is_warned_of(load):
    text = "name,label\n" + "".join(f"person {i},{'ab'[i % 2]}\n" for i in range(60))
    with pytest.warns(
        UserWarning, match=r"column 'name' has 42 categories in 42 training rows; .*data\.ignore=\[name\]"
    ):
        load(text)


@pytest.mark.parametrize("name, source", [
    ("iris", datasets.load_iris), ("wine_data", datasets.load_wine), ("breast_cancer", datasets.load_breast_cancer),
])  # fmt: skip
def test_bundled_tables_are_those_of_scikit_learn(name, source):
    expected = source()
    data = Bundled(name=name, batch_size=16)
    data.setup()
    assert data.spec.class_names == tuple(sorted(expected.target_names))
    number = torch.tensor([list(expected.target_names).index(name) for name in data.spec.class_names])
    assert [column.replace("colour", "color") for column in data.spec.columns[:10]] == [
        column.replace("_", " ") for column in list(expected.feature_names)[:10]
    ]
    rows, labels = [], []
    for split, part in data.splits.items():
        rows.append(part.data.inputs.double() * torch.tensor(data.spec.stds) + torch.tensor(data.spec.means))
        labels.append(number[data.labels(split)])
    found = torch.cat([torch.cat(rows), torch.cat(labels).unsqueeze(1)], dim=1).numpy()
    wanted = np.column_stack([expected.data, expected.target])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(wanted, axis=0), rtol=1e-4, atol=1e-4)


def test_the_baseline_and_an_example_are_those_of_the_split():
    data = Bundled(name="iris", batch_size=16)
    data.setup()
    assert data.baseline("test")["accuracy"] == pytest.approx(1 / 3)
    assert data.example("test", 0).startswith("sepal length (cm)=")


def test_an_unknown_bundled_table_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"data\.name: found 'irs'.*did you mean 'iris'\?"):
        Bundled(name="irs", batch_size=16)
