# SPDX-License-Identifier: BSD-2-Clause
"""The shell in a real terminal."""

import stat

import pcp
from conftest import HOSTS, PROGRAM
from terminal import Terminal


def test_tab_completes_words_options_and_values_of_the_server(server, shell):
    server.map(8080)
    terminal = shell()
    terminal.type("li")
    terminal.press("Tab")
    terminal.wait_line("portolan> list")
    terminal.type("m")
    terminal.press("Tab")
    terminal.type("--us")
    terminal.press("Tab")
    terminal.wait_line("portolan> list map --user")
    terminal.type("20")
    terminal.press("Tab")
    terminal.wait_line("portolan> list map --user 2001:db8:112::/64")
    terminal.press("Enter")
    assert "192.0.2.1" in terminal.wait("(1 row)")


def test_tab_shows_what_there_is_where_there_is_more_than_one_way(shell):
    terminal = shell()
    terminal.type("list ")
    terminal.press("Tab")
    screen = terminal.wait("A user")
    assert "A mapping" in screen
    terminal.wait_line("portolan> list")
    terminal.type("u")
    terminal.press("Tab", "Enter")
    terminal.wait("(0 rows)")


def test_a_question_mark_explains_and_leaves_the_line(shell):
    terminal = shell()
    terminal.type("list map --user ?")
    assert "a prefix such as" in terminal.wait("a prefix such as")
    terminal.wait_line("portolan> list map --user")
    terminal.press("C-c")
    terminal.enter("help list map")
    terminal.wait("--external-port")
    terminal.prompt()


def test_lines_are_kept_for_the_next_time(shell, tmp_path):
    terminal = shell()
    terminal.enter("list user")
    terminal.wait("(0 rows)")
    terminal.enter("list map --protocol udp")
    terminal.prompt()
    terminal.press("Up", "Up")
    terminal.wait_line("portolan> list user")
    terminal.press("C-c")
    terminal.enter("exit")
    assert terminal.exit_status() == 0
    history = tmp_path / ".local/state/portolan/portolanctl_history"
    assert "list" in history.read_text()
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    again = shell()
    again.press("Up")
    again.wait_line("portolan> exit")
    again.press("C-c", "C-r")
    again.type("udp")
    again.wait("list map --protocol udp")


def test_a_long_listing_stops_after_each_page(server, shell):
    server.map_all(range(1000, 1060))
    terminal = shell()
    terminal.enter("list map")
    terminal.wait("-- more")
    first = terminal.screen()
    terminal.press("Space")
    terminal.wait(lambda screen: "-- more" in screen and screen != first)
    terminal.press("Enter")
    terminal.wait("-- more")
    terminal.press("q")
    terminal.prompt()
    assert "(60 rows)" not in terminal.screen()
    terminal.enter("list map --limit 70")
    terminal.wait("-- more")
    terminal.resize(110, 100)
    terminal.press("Space")
    assert "(60 rows)" in terminal.prompt()


def test_ctrl_c_ends_a_page_but_not_the_shell(server, shell):
    server.map_all(range(1000, 1060))
    terminal = shell()
    terminal.enter("list map")
    terminal.wait("-- more")
    terminal.press("C-c")
    terminal.wait("interrupted")
    terminal.prompt()
    terminal.enter("list user")
    terminal.wait("(1 row)")


def test_a_mistake_is_pointed_to(shell):
    terminal = shell()
    terminal.enter("list mpa")
    screen = terminal.wait("did you mean 'map'?")
    assert "  list mpa\n       ^^^\n" in screen
    terminal.enter("delete map tpc 2001:db8::1 80")
    assert "             ^^^" in terminal.wait("must be a protocol")
    terminal.prompt()


def test_a_refusal_of_the_server_is_shown(shell):
    terminal = shell()
    terminal.enter("show user 2001:db8:ffff::/64")
    terminal.wait("no user")
    terminal.prompt()


def test_many_are_deleted_only_when_agreed_to(server, shell, ctl):
    server.map_all(range(1000, 1012))
    terminal = shell()
    terminal.enter("delete map --user 2001:db8:112::/64")
    screen = terminal.wait("Delete these 12 mappings? [y/N]")
    assert "... and 2 more" in screen and "1009" in screen and "1010" not in screen
    terminal.press("Enter")
    terminal.wait("nothing has been changed")
    assert ctl("list", "map", "--json").count("\n") == 12
    terminal.enter("delete map --all")
    terminal.wait(lambda screen: screen.split("\n")[-1].endswith("[y/N]"))
    terminal.press("C-c")
    terminal.prompt()
    assert ctl("list", "map", "--json").count("\n") == 12
    terminal.clear()
    terminal.enter("delete map --all")
    terminal.wait(lambda screen: screen.split("\n")[-1].endswith("[y/N]"))
    terminal.enter("y")
    terminal.wait(lambda screen: "Deleted" in screen and screen.endswith("portolan>"))
    assert ctl("list", "map", "--json") == ""


def test_one_mapping_is_deleted_without_a_question(server, shell, ctl):
    server.map(80)
    server.map(81)
    terminal = shell()
    terminal.enter(f"delete map tcp {HOSTS[0]} 80")
    terminal.wait("Deleted")
    assert '"internal-src-port":81' in ctl("list", "map", "--json")


def test_changes_are_watched_until_ctrl_c(server, shell):
    terminal = shell()
    terminal.enter("watch")
    # The first event that is seen proves that it watches.
    port = 2000
    while "mapping" not in terminal.screen().split("watch", 1)[-1]:
        server.map(port)
        port += 1
    server.map(9, HOSTS[2])
    terminal.wait(HOSTS[2])
    terminal.press("C-c")
    terminal.prompt()
    terminal.enter("list user")
    terminal.wait("(2 rows)")


def test_ctrl_c_forgets_a_line_and_ctrl_d_leaves(shell):
    terminal = shell()
    terminal.type("delete map --all")
    terminal.press("C-c")
    terminal.prompt()
    assert "delete map --all^C" in terminal.screen()
    terminal.press("C-d")
    assert terminal.exit_status() == 0


def test_ctrl_z_stops_the_shell_until_it_is_wanted_again(server, tmp_path):
    environment = {"HOME": tmp_path, "LANG": "C.UTF-8", "PS1": "$ "}
    terminal = Terminal(tmp_path, ["bash", "--norc", "-i"], environment=environment)
    try:
        terminal.wait_line("$")
        terminal.enter(f"{PROGRAM} --server unix:{server.socket}")
        terminal.prompt()
        terminal.type("list us")
        terminal.press("C-z")
        terminal.wait("Stopped")
        terminal.wait_line("$")
        terminal.enter("fg")
        terminal.wait_line("portolan> list us")
        terminal.enter("er")
        terminal.wait("(0 rows)")
    finally:
        terminal.close()


def test_hostile_descriptions_do_not_reach_the_terminal(server, shell):
    server.map(80, options=pcp.description("caf\u00e9 \x1b[2J\u009b31m"))
    terminal = shell(columns=220)
    terminal.enter("list map")
    assert "caf\u00e9 \\x1b[2J\\xc2\\x9b31m" in terminal.wait("(1 row)")


def test_the_line_is_drawn_for_the_new_size_of_the_terminal(shell):
    terminal = shell()
    terminal.type("list map --user 2001:db8:112::/64 --protocol tcp --internal-port 8080")
    terminal.wait("8080")
    terminal.resize(50, 24)
    terminal.press("C-l")
    terminal.wait(lambda screen: screen.split("\n")[0] == "portolan> list map --user 2001:db8:112::/64 --prot")
    terminal.press("Enter")
    terminal.wait("(0 rows)")


def test_colours_are_for_terminals_that_want_them(server, shell):
    server.map(80)
    terminal = shell()
    terminal.enter("list map")
    assert "\x1b[1m" in terminal.wait("(1 row)", "-e")
    plain = shell(environment={"NO_COLOR": "1"})
    plain.enter("list map")
    assert "\x1b[1m" not in plain.wait("(1 row)", "-e")


def test_one_command_in_a_terminal_pages_too_and_says_its_status(server, shell):
    server.map_all(range(1000, 1060))
    terminal = shell("list", "map")
    terminal.wait("-- more")
    terminal.press("q")
    assert terminal.exit_status() == 0
    asked = shell("delete", "map", "--all")
    asked.wait("[y/N]")
    asked.enter("n")
    assert asked.exit_status() == 1
    wrong = shell("lsit")
    assert wrong.exit_status() == 2
