"""Bags that were cut off, never closed or damaged are read as far as they are whole, or refused."""

import shutil
import sqlite3

import pytest

pytest.importorskip("rosbags.rosbag2")

from mppi_maml_ros.bags.bag import read_bag
from mppi_maml_ros.bags.mcap import McapScan, _decompressed
from mppi_maml_ros.core.errors import MppiMamlError

STORAGES = ("SQLITE3", "MCAP")
END = {"SQLITE3": ".db3", "MCAP": ".mcap"}


def everything(topic, kind):
    return True


def storage_of(bag):
    return next(file for file in bag.iterdir() if file.suffix in END.values())


def cut(file, share):
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])


@pytest.mark.parametrize("storage", STORAGES)
def test_a_sound_bag_is_read_whole_without_a_remark(tmp_path, record_drive, storage):
    bag = read_bag(record_drive(tmp_path / "run", storage), everything)
    assert len(bag.messages) == 600 and bag.remarks == ()
    assert bag.topics == {
        ("/odom", "nav_msgs/msg/Odometry"): 300,
        ("/cmd_vel", "geometry_msgs/msg/Twist"): 300,
    }


@pytest.mark.fault(85)
@pytest.mark.parametrize("storage", STORAGES)
def test_a_folder_without_metadata_is_read(tmp_path, record_drive, storage):
    path = record_drive(tmp_path / "run", storage)
    (path / "metadata.yaml").unlink()
    bag = read_bag(path, everything)
    assert len(bag.messages) == 600 and "ros2 bag reindex" in bag.remarks[0]


@pytest.mark.fault(85)
@pytest.mark.parametrize(
    "text", ["", "rosbag2_bagfile_information: {}", "a: [", "rosbag2_bagfile_information: 3"]
)
def test_broken_metadata_keep_nobody_from_the_messages(tmp_path, record_drive, text):
    path = record_drive(tmp_path / "run")
    (path / "metadata.yaml").write_text(text)
    assert len(read_bag(path, everything).messages) == 600


@pytest.mark.fault(85)
@pytest.mark.parametrize(
    ("share", "compressed"), [(0.3, False), (0.9, False), (0.999, False), (0.7, True), (0.999, True)]
)
def test_a_truncated_mcap_file_is_read_up_to_where_it_was_cut(tmp_path, record_drive, share, compressed):
    path = record_drive(tmp_path / "run", "MCAP", compressed=compressed)
    whole = read_bag(path, everything).messages
    cut(storage_of(path), share)
    for damaged in (path, storage_of(path)):
        bag = read_bag(damaged, everything)
        count = len(bag.messages)
        assert count >= (0.5 if compressed else 0.9) * share * len(whole)
        assert [m.recorded for m in bag.messages] == [m.recorded for m in whole[:count]]
        assert "is not whole (cut off" in bag.remarks[-1] and f"{count} messages" in bag.remarks[-1]


@pytest.mark.fault(84)
def test_wherever_an_mcap_file_ends_what_is_whole_before_is_read_and_nothing_else(tmp_path, record_drive):
    path = storage_of(record_drive(tmp_path / "run", "MCAP", steps=4))
    data = path.read_bytes()
    last = 0
    for end in range(8, len(data), 5):
        path.write_bytes(data[:end])
        found = [stamp for _, stamp, _ in McapScan(path).messages()]
        assert last <= len(found) <= 8
        last = len(found)
    assert last == 8


@pytest.mark.fault(85)
def test_a_damaged_chunk_is_left_out_and_told(tmp_path, record_drive):
    path = record_drive(tmp_path / "run", "MCAP", compressed=True, steps=3000)
    file, whole = storage_of(path), read_bag(path, everything).messages
    data = bytearray(file.read_bytes())
    data[100:140] = bytes(40)  # at the beginning of the first chunk
    file.write_bytes(data)
    bag = read_bag(path, everything)
    assert 1000 < len(bag.messages) < 5000 and bag.messages[-1].recorded == whole[-1].recorded
    assert "a chunk is damaged" in bag.remarks[-1]


def test_the_beginning_of_a_compressed_chunk_is_unpacked_for_each_compression():
    import lz4.frame

    from mppi_maml_ros.bags.mcap import _zstd

    text = b"".join(i.to_bytes(4, "big") for i in range(200_000))
    for name, pack in (("lz4", lz4.frame.compress), ("zstd", _zstd().compress)):
        packed = pack(text)
        assert _decompressed(packed, name) == text
        part = _decompressed(packed[: len(packed) // 2], name)
        assert 0.2 * len(text) < len(part) < len(text) and text.startswith(part)


@pytest.mark.fault(85)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_a_truncated_database_is_read_as_far_as_its_pages_are_there(tmp_path, record_drive, share):
    path = record_drive(tmp_path / "run", steps=3000)
    whole = {m.recorded: m for m in read_bag(path, everything).messages if m.topic == "/odom"}
    cut(storage_of(path), share)
    bag = read_bag(path, everything)
    found = [m for m in bag.messages if m.topic == "/odom"]
    assert 0.8 * share * len(whole) < len(found) <= len(whole)
    assert len({m.recorded for m in found}) == len(found)
    for message in found:
        expected = whole[message.recorded].value.pose.pose.position
        assert message.value.pose.pose.position.x == expected.x
    assert "is not whole (" in bag.remarks[-1]


@pytest.mark.fault(84)
def test_what_a_killed_recorder_left_in_the_journal_of_a_database_is_read(tmp_path, record_drive):
    path = record_drive(tmp_path / "run")
    live = sqlite3.connect(storage_of(path))
    live.execute("PRAGMA journal_mode = WAL")
    live.execute("PRAGMA wal_autocheckpoint = 0")
    row = live.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id DESC LIMIT 1").fetchone()
    for k in range(50):
        live.execute(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", (row[0], row[1] + k, row[2])
        )
    live.commit()
    shutil.copytree(path, tmp_path / "left")
    live.close()
    bag = read_bag(tmp_path / "left", everything)
    assert len(bag.messages) == 650
    assert list((tmp_path / "left").glob("*-wal"))  # and the bag is as it was


@pytest.mark.fault(85)
def test_the_files_of_a_split_bag_that_are_there_are_read(tmp_path, record_drive):
    path = record_drive(tmp_path / "run")
    file = storage_of(path)
    later = record_drive(tmp_path / "later", begin=1_700_000_015.0)
    shutil.copy(storage_of(later), path / "run_10.db3")
    file.rename(path / "run_2.db3")
    bag = read_bag(path, everything)
    stamps = [m.recorded for m in bag.messages]
    assert len(stamps) == 1200 and stamps == sorted(stamps)
    assert any("missing" in remark for remark in bag.remarks)


@pytest.mark.fault(85)
def test_a_definition_that_cannot_be_parsed_concerns_its_own_topic_alone(tmp_path, record_drive):
    path = record_drive(tmp_path / "run")
    with sqlite3.connect(storage_of(path)) as database:
        database.execute("UPDATE topics SET type = 'odd_msgs/msg/Odd' WHERE name = '/cmd_vel'")
        database.execute(
            "UPDATE message_definitions SET topic_type = 'odd_msgs/msg/Odd', encoded_message_definition = ? "
            "WHERE topic_type = 'geometry_msgs/msg/Twist'",
            ("this is = no definition !\n" * 40,),
        )
    bag = read_bag(storage_of(path), everything)
    assert {m.topic for m in bag.messages} == {"/odom"}
    assert bag.remarks == ("300 messages on /cmd_vel are not what odd_msgs/msg/Odd is defined as: left out",)


@pytest.mark.fault(85)
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.mcap", b"not a bag at all", "run.mcap cannot be read as a bag: it does not begin as an mcap"),
        ("run.mcap", b"", "run.mcap cannot be read as a bag"),
        ("run.db3", b"SQLite format 3\0 and no more", "run.db3 cannot be read as a bag: .*ros2 bag reindex"),
        ("run.db3", b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "git lfs pull"),
        ("run.bag", b"#ROSBAG V2.0\n", "run.bag cannot be read as a bag: .*rosbag reindex"),
        ("run.txt", b"hello", "name an .mcap or .db3 file"),
        ("run/readme.txt", b"hello", "it holds no .mcap or .db3 file; name the folder"),
        ("run/run_0.db3.zstd", b"hello", "zstd -d run_0.db3.zstd"),
        ("run/inner/metadata.yaml", b"", "is no bag but holds some; name them: .*inner"),
        ("run/metadata.yaml", b"", "holds metadata.yaml but no .mcap or .db3 file"),
    ],
)  # fmt: skip
def test_what_is_no_bag_is_refused_in_one_sentence_with_the_next_step(tmp_path, name, content, says):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    path = tmp_path / name.split("/")[0]
    with pytest.raises(MppiMamlError, match=says) as error:
        read_bag(path, everything)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400 + len(str(path))


def test_what_is_not_there_or_may_not_be_read_is_refused(tmp_path):
    with pytest.raises(MppiMamlError, match="nowhere cannot be read: No such file"):
        read_bag(tmp_path / "nowhere", everything)
    (tmp_path / "loop.mcap").symlink_to("loop.mcap")
    with pytest.raises(MppiMamlError, match="loop.mcap cannot be read"):
        read_bag(tmp_path / "loop.mcap", everything)


@pytest.mark.fault(85)
def test_a_file_of_which_nothing_is_left_keeps_nobody_from_the_others(tmp_path, record_drive):
    path = record_drive(tmp_path / "run")
    (path / "run_1.db3").write_bytes(b"")
    (path / "metadata.yaml").unlink()
    bag = read_bag(path, everything)
    assert len(bag.messages) == 600 and "run_1.db3 cannot be read as a bag" in bag.remarks[1]
