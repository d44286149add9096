# SPDX-License-Identifier: BSD-2-Clause
"""The slides' first test as a picture: a browser on the IPv4-only viewer shows the page of the IPv6-only handset's camera
through the mapping that the handset has asked for."""
import os
import pathlib

from labkit import POOL, VIEWER_INSIDE

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])


def test_a_browser_on_viewer_shows_the_camera_of_the_handset(lab):
    mapping = lab.portolan("handset-3g", "map", "tcp", 8080, "--external-port", 8080)
    assert (mapping["result"], mapping["external-address"]) == ("SUCCESS", POOL)
    picture = BUILD / "studio-pictures" / "camera.png"
    picture.parent.mkdir(exist_ok=True)
    shown = lab.output("viewer", os.environ["PORTOLAN_NODE"], HERE / "browse.mjs",
                       f"http://{POOL}:{mapping['external-port']}/", picture, timeout=120)
    assert "Camera of handset-3g" in shown
    assert f"You are {VIEWER_INSIDE} port" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
