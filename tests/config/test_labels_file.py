"""Labels in a file of their own: the same task as if they stood in the config, and errors that name file and line."""

import json

import pytest

from pipeline.tasks.prompt import Task

LABELS = [("games", "To play"), ("no", 'Says "no", politely'), ("müsli", "")]

FILES = {
    "labels.csv": 'name,description\ngames,To play\nno,"Says ""no"", politely"\nmüsli,\n',
    "excel.csv": '\ufeffname;description\r\ngames;To play\r\nno;"Says ""no"", politely"\r\nmüsli;\r\n',
    "other.csv": 'id,Description,name,parent\n1,To play,games,\n2,"Says ""no"", politely",no,1\n\n3,,müsli,1\n',
    "labels.tsv": 'name\tdescription\ngames\tTo play\nno\t"Says ""no"", politely"\nmüsli\t\n',
    "labels.json": json.dumps([{"name": name, "description": about} for name, about in LABELS]),
    "labels.yaml": "- {name: games, description: To play}\n- name: 'no'\n  description: Says \"no\", politely\n- müsli\n",
    "mapping.yaml": 'games: To play\n"no": Says "no", politely\nmüsli:\n',
}


@pytest.fixture
def load(job, task_text):
    def load(name, content, **keys):
        (job.folder / name).write_text(content, "utf-8")
        return job.load(task=task_text(labels=f"{{file: {name}}}", **keys))

    return load


@pytest.fixture
def problems(job, task_text):
    def problems(name, content, **keys):
        (job.folder / name).write_text(content, "utf-8")
        return job.problems(task=task_text(labels=f"{{file: {name}}}", **keys))

    return problems


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_labels_that_stand_in_it(load, name):
    labels = load(name, FILES[name]).task.labels
    assert [(label.name, label.description) for label in labels] == LABELS


@pytest.mark.parametrize("name", FILES)
def test_a_task_is_the_same_whether_its_labels_stand_in_the_config_or_in_a_file(job, load, task_text, name):
    inline = json.dumps([{"name": name, "description": about} for name, about in LABELS])
    assert Task.from_config(load(name, FILES[name])) == Task.from_config(
        job.load(task=task_text(labels=inline))
    )


def test_a_file_says_what_labels_were(load):
    labels = load("labels.csv", "name,description,was\na,one,\nb,,old\nc,,one | two\n").task.labels
    assert [label.was for label in labels] == [(), ("old",), ("one", "two")]


def test_what_a_label_was_is_no_part_of_the_question(load):
    before, after = (load("labels.csv", f"name,description,was\na,one,{was}\nb,,\n") for was in ("", "old"))
    assert Task.from_config(before).fingerprint == Task.from_config(after).fingerprint


def test_another_description_in_the_file_is_another_task(load):
    before, after = (load("labels.csv", f"name,description\na,{text}\nb,\n") for text in ("one", "two"))
    assert Task.from_config(before).fingerprint != Task.from_config(after).fingerprint


def test_the_file_is_looked_for_beside_the_config(job, task_text, monkeypatch, tmp_path_factory):
    (job.folder / "lists").mkdir()
    (job.folder / "lists" / "l.csv").write_text("name\na\nb\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(job.load(task=task_text(labels="{file: lists/l.csv}")).task.labels) == 2


def test_the_option_set_names_a_file(job):
    (job.folder / "l.csv").write_text("name\na\nb\n")
    assert len(job.load(overrides=["task.labels={file: l.csv}"]).task.labels) == 2


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("l.csv", "label\na\n", "l.csv:1: has no column 'name'; write a header: name,description"),
        ("l.csv", "", "l.csv:1: is empty; write a header: name,description, and a label a line"),
        ("l.csv", "name,descripton\na,b\n", "l.csv:1: has a column 'descripton'; did you mean description?"),
        ("l.csv", "name,name\na,b\n", "l.csv:1: has 2 columns 'name'; rename all but one"),
        ("l.csv", "name,was,was\na,b,c\n", "l.csv:1: has 2 columns 'was'; rename all but one"),
        (
            "l.csv",
            'name,description\n"a","b\nc"\nd,e,f\n',
            "l.csv:4: has 3 cells and the header 2; put a text that holds ',' in double quotes",
        ),
        ("l.csv", 'name\na\n"b\n', "l.csv:3: is no CSV (unexpected end of data); look at its quotes"),
        (
            "l.csv",
            "name\na\nb\nA\n",
            'l.csv:4: task.labels[2].name: "A" is the same as "a", capitals and blanks apart; keep one of them',
        ),
        ("l.csv", "name\na\n b\n", 'l.csv:3: task.labels[1].name: " b" has blanks around it; take them away'),
        ("l.csv", "name\na\n", "l.csv:1: task.labels: has 1 label to choose from; write at least 2"),
        ("l.yaml", "- a\n- no\n", "l.yaml:2: task.labels[1]: no is true or false to YAML; quote it"),
        (
            "l.yaml",
            "- a\n- {nme: b}\n",
            "l.yaml:2: task.labels[1].nme: is an unknown key; did you mean name?",
        ),
        ("l.yaml", "- [\n", "l.yaml:2:1: the YAML does not go on like this"),
        ("l.yaml", "text\n", "l.yaml:1: is no list of labels; begin each with - as in the config"),
        ("l.yaml", "", "l.yaml:1: is empty; write what belongs to task.labels"),
        ("l.txt", "a\nb\n", "job.yaml:5: task.labels.file: l.txt is no file of labels; let it end in"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_line(problems, name, content, problem):
    found = problems(name, content)
    assert any(each.startswith(problem) for each in found), found


def test_a_file_that_is_not_there_is_named_in_the_line_that_names_it(job, task_text):
    found = job.problems(task=task_text(labels="{file: gone.csv}"))
    assert (
        found[0]
        == "job.yaml:5: task.labels.file: gone.csv is not there; its path is relative to the config's folder"
    )


def test_a_mapping_of_labels_in_the_config_is_told_what_it_may_be(job, task_text):
    found = job.problems(task=task_text(labels="{games: To play}"))
    assert found[0].startswith("job.yaml:5: task.labels: is a mapping; write a list of labels, or file:")


def test_problems_of_the_config_come_before_those_of_the_file(problems):
    found = problems("l.csv", "name\na\n\na\n", max_text_tokens="none")
    assert [each.split(":")[0] for each in found] == ["job.yaml", "l.csv"]
