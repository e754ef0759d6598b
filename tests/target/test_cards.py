"""Which GPUs there are, and what names each alone: on stand-ins for torch and nvidia-smi that are real programs."""

import pytest

from target.device.cards import Card, ListedCard, environment_of, find_cards, list_cards
from target.errors import TargetError
from tests.cards import GB, H100, MIG, TWO_H100, StandIn, nvidia_smi, pretend

FOUR = tuple(StandIn(f"Card {number}", f"GPU-{number}{number}aa", number * GB) for number in range(4))


def names(cards):
    return [(card.name, card.id) for card in cards]


def test_every_card_has_its_number_where_nothing_is_chosen(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)

    assert find_cards("gpu") == (Card(H100, 85 * GB, "0"), Card(H100, 85 * GB + 4096, "1"))
    assert list_cards() == (ListedCard(name=H100, id="0"), ListedCard(name=H100, id="1"))


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2", [("Card 2", "2")]),
        ("3,1", [("Card 3", "3"), ("Card 1", "1")]),
        ("GPU-22,GPU-11aa", [("Card 2", "GPU-22"), ("Card 1", "GPU-11aa")]),
        ("1,-1,2", [("Card 1", "1")]),
        ("1,9,2", [("Card 1", "1")]),
        ("0,GPU-none,2", [("Card 0", "0")]),
    ],
)
def test_cuda_visible_devices_chooses_and_hides_what_is_behind_an_entry_that_does_not_fit(
    monkeypatch, tmp_path, visible, expected
):
    pretend(monkeypatch, tmp_path, FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert names(find_cards("gpu")) == expected
    assert names(list_cards()) == expected


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles", "9"])
def test_without_a_visible_card_none_is_listed_and_the_gpu_target_is_refused(monkeypatch, tmp_path, visible):
    pretend(monkeypatch, tmp_path, FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert list_cards() == ()
    with pytest.raises(TargetError, match=r"torch 2\.11\.0\+stand-in finds none \(No CUDA GPUs are available\);"):
        find_cards("gpu")


@pytest.mark.parametrize("visible", ["1,1", "0,1,0"])
def test_a_repeated_entry_leaves_a_command_none_as_it_leaves_cuda_none(monkeypatch, tmp_path, visible):
    pretend(monkeypatch, tmp_path, FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert list_cards() == ()


def test_a_prefix_of_two_cards_names_none(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")

    assert list_cards() == ()


def test_every_instance_of_mig_is_a_card_though_one_process_sees_only_one(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, MIG)

    name = "NVIDIA A100-SXM4-40GB"
    expected = [
        (f"{name} MIG 1g.5gb", "MIG-c6d4f1ef"),
        (f"{name} MIG 1g.5gb", "MIG-cba663e8"),
        (f"{name} MIG 3g.20gb", "MIG-77aa"),
        (name, "GPU-9e01"),
    ]
    assert names(list_cards()) == expected
    found = find_cards("gpu")
    assert names(found) == expected
    assert [card.memory_bytes for card in found] == [5 * GB, 5 * GB, 21 * GB, 42 * GB]


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        ("MIG-cba663e8", ["MIG-cba663e8"]),
        ("MIG-77aa,MIG-c6d4f1ef", ["MIG-77aa", "MIG-c6d4f1ef"]),
        ("MIG-77aa,MIG-gone,MIG-c6d4f1ef", ["MIG-77aa"]),
        ("0", ["0"]),  # the first of its instances
        ("1", ["1"]),
        ("0,MIG-c6d4f1ef,MIG-77aa", ["0", "MIG-77aa"]),  # the second names the same instance again
    ],
)
def test_instances_are_chosen_by_their_uuid(monkeypatch, tmp_path, visible, ids):
    pretend(monkeypatch, tmp_path, MIG)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert [card.id for card in list_cards()] == ids
    assert [card.id for card in find_cards("gpu")] == ids


def test_instances_as_drivers_before_470_name_them(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    old = (
        "GPU 0: A100-SXM4-40GB (UUID: GPU-e86cb44c)\n"
        "  MIG 3g.20gb Device 0: (UUID: MIG-GPU-e86cb44c/1/0)\n"
        "  MIG 3g.20gb Device 1: (UUID: MIG-GPU-e86cb44c/2/0)\n"
    )
    monkeypatch.setenv("PATH", str(nvidia_smi(tmp_path, old)))

    assert [card.id for card in list_cards()] == ["MIG-GPU-e86cb44c/1/0", "MIG-GPU-e86cb44c/2/0"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["0", "1", "2", "3"]),
        ({"ROCR_VISIBLE_DEVICES": "3,1"}, ["0", "1"]),
        ({"HIP_VISIBLE_DEVICES": "3,1"}, ["3", "1"]),
        ({"CUDA_VISIBLE_DEVICES": "2"}, ["2"]),
        ({"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "1"}, ["1"]),
        ({"ROCR_VISIBLE_DEVICES": "3,1,0", "HIP_VISIBLE_DEVICES": "2,0"}, ["2", "0"]),
    ],
)
def test_variables_of_rocm_choose_within_each_other(monkeypatch, tmp_path, variables, expected):
    pretend(monkeypatch, tmp_path, FOUR, smi=False, rocm="6.4")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = find_cards("gpu")

    assert [card.id for card in found] == expected
    assert environment_of(found[-1]) == {
        "CUDA_VISIBLE_DEVICES": expected[-1],
        "HIP_VISIBLE_DEVICES": expected[-1],
    }


def test_what_names_a_card_shows_that_card_alone(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, MIG)
    for card in find_cards("gpu"):
        with monkeypatch.context() as patch:
            for name, value in environment_of(card).items():
                patch.setenv(name, value)

            assert [(each.name, each.memory_bytes) for each in find_cards("gpu")] == [(card.name, card.memory_bytes)]


def test_an_nvidia_smi_without_its_driver_lists_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(nvidia_smi(tmp_path, "NVIDIA-SMI has failed", status=9)))

    assert list_cards(tmp_path) == ()


def test_without_nvidia_smi_a_command_has_the_cards_with_device_files(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()

    assert [card.id for card in list_cards(tmp_path)] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [card.id for card in list_cards(tmp_path)] == ["1"]


def test_torch_that_does_not_answer_is_told(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(TargetError, match="torch could not be asked for one: ImportError: half installed"):
        find_cards("gpu")


def test_a_driver_that_fails_is_told(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    with (tmp_path / "standin" / "torch.py").open("a") as torch:
        torch.write("def _seen():\n    raise RuntimeError('CUDA error 304\\nSearch for it\\nFor debugging ...')\n")

    with pytest.raises(TargetError, match=r"torch could not be asked for one: RuntimeError: CUDA error 304$"):
        find_cards("gpu")
