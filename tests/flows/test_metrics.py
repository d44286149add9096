# SPDX-License-Identifier: BSD-2-Clause
"""Metrics of a portoland, compared with what was sent to it; read by Prometheus' own library."""

import socket
import struct
import subprocess

import pcp
from conftest import C1, C2, Server
from prometheus_client.parser import text_string_to_metric_families
from rows import NAT44

SETTING = NAT44


class Metrics:
    def __init__(self, path):
        self.path = path
        self.config = f'[management]\nlisten = ["unix:{path}"]\n'

    def scrape(self):
        """Samples by name and labels."""
        done = subprocess.run(["curl", "-sSf", "--unix-socket", self.path, "-D", "-", "http://localhost/metrics"],
                              capture_output=True, text=True, timeout=30, check=True)
        head, _, text = done.stdout.replace("\r\n", "\n").partition("\n\n")
        assert "text/plain; version=0.0.4" in head
        samples = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                key = sample.name + (f"[{labels}]" if labels else "")
                assert key not in samples, f"{key} twice"
                samples[key] = sample.value
        return samples


def difference(after, before, name):
    """How a family has grown, by labels; without what has not."""
    return {key: value - before.get(key, 0) for key, value in after.items()
            if key.split("[")[0] == name and value != before.get(key, 0)}


def test_every_request_is_counted_once(start, network, client, tmp_path):
    metrics = Metrics(tmp_path / "management.sock")
    start(network.config("maximum_lifetime = 20000\nmappings_per_user_max = 4") + metrics.config)
    before = metrics.scrape()
    first, second = client(C1, shown=False), client(C2, shown=False)
    made = [first.map(pcp.UDP, 5000 + i)[1] for i in range(4)]
    assert first.map(pcp.UDP, 5004)[1].result == pcp.USER_EX_QUOTA
    first.map(pcp.UDP, 5000)
    assert first.map(pcp.UDP, 5001, number=7)[1].result == pcp.NOT_AUTHORIZED
    assert first.map(pcp.UDP, 5002, lifetime=0)[1].result == pcp.SUCCESS
    request = second.map(pcp.TCP, 5000, made[0].external, made[0].address, options=pcp.PREFER_FAILURE)[1]
    assert request.result in (pcp.SUCCESS, pcp.CANNOT_PROVIDE_EXTERNAL)
    refused = request.result != pcp.SUCCESS
    first.announce()
    # NAT-PMP asks for the address; a truncated request and a response get no answer.
    first.exchange(struct.pack("!BB", 0, 0))
    first.socket.sendto(b"\x02", first.server)
    first.socket.sendto(pcp.header(C1, 0, pcp.ANNOUNCE | 0x80), first.server)
    # An answer to what is sent after them says that they have come.
    first.announce()
    after = metrics.scrape()

    assert difference(after, before, "portolan_pcp_requests_total") == {
        "portolan_pcp_requests_total[opcode=map]": 9, "portolan_pcp_requests_total[opcode=announce]": 2,
        "portolan_pcp_requests_total[opcode=nat-pmp]": 1}
    assert difference(after, before, "portolan_pcp_request_versions_total") == {
        "portolan_pcp_request_versions_total[version=2]": 11, "portolan_pcp_request_versions_total[version=nat-pmp]": 1}
    assert difference(after, before, "portolan_pcp_request_options_total") == {
        "portolan_pcp_request_options_total[option=PREFER_FAILURE]": 1}
    answers = {"SUCCESS": 10 - refused, "USER_EX_QUOTA": 1, "NOT_AUTHORIZED": 1}
    if refused:
        answers["CANNOT_PROVIDE_EXTERNAL"] = 1
    assert difference(after, before, "portolan_pcp_answers_total") == {
        f"portolan_pcp_answers_total[result={result}]": count for result, count in answers.items()}
    assert difference(after, before, "portolan_pcp_dropped_total") == {
        "portolan_pcp_dropped_total[reason=too_short]": 1, "portolan_pcp_dropped_total[reason=not_a_request]": 1}
    assert difference(after, before, "portolan_pcp_nonce_mismatches_total") == {"portolan_pcp_nonce_mismatches_total": 1}
    assert difference(after, before, "portolan_pcp_mapping_changes_total") == {
        "portolan_pcp_mapping_changes_total[change=made]": 5 - refused,
        "portolan_pcp_mapping_changes_total[change=renewed]": 1,
        "portolan_pcp_mapping_changes_total[change=deleted]": 1}
    assert after["portolan_pcp_mappings"] == after["portolan_pcp_mapped_ports"] == 4 - refused
    assert after["portolan_pcp_subscribers"] == 2 - refused
    operations = difference(after, before, "portolan_device_operations_total")
    applied = "portolan_device_operations_total[answer=applied,device=nat44,operation=%s]"
    assert operations[applied % "install"] == 6 - refused and operations[applied % "remove"] == 1
    batches = difference(after, before, "portolan_device_batch_seconds_count")
    assert batches["portolan_device_batch_seconds_count[device=nat44]"] == 7 and not after["portolan_pcp_read_only"]
    assert after["process_open_fds"] > 3 and after["process_resident_memory_bytes"] > 1 << 20


def test_commits_and_epoch_of_a_durable_store(tmp_path, network, client):
    metrics = Metrics(tmp_path / "management.sock")
    server = Server(tmp_path, network.config("maximum_lifetime = 20000") + metrics.config,
                    store=f'store_path = "{tmp_path}/state.db"')
    before = metrics.scrape()
    asking = client(C1, shown=False)
    for i in range(3):
        assert asking.map(pcp.UDP, 5000 + i)[1].result == pcp.SUCCESS
    epoch = asking.announce().epoch
    after = metrics.scrape()
    assert before["portolan_store_info[store=sqlite]"] == 1
    assert after["portolan_store_commit_seconds_count"] - before["portolan_store_commit_seconds_count"] >= 3
    assert after["portolan_store_rows_total"] - before["portolan_store_rows_total"] >= 3
    assert after["portolan_store_failed_commits_total"] == 0
    assert epoch <= after["portolan_pcp_epoch_seconds"] <= epoch + 5
    server.stop()


def test_what_comes_from_elsewhere_is_counted_and_not_answered(start, network, tmp_path):
    metrics = Metrics(tmp_path / "management.sock")
    start(network.config() + metrics.config)
    before = metrics.scrape()
    outside = network.far.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = pcp.header("203.0.113.9", 0, pcp.ANNOUNCE)
    outside.bind(("203.0.113.9", 0))
    for _ in range(3):
        outside.sendto(request, ("192.0.2.1", pcp.SERVER_PORT))
    reason = "portolan_pcp_dropped_total[reason=not_from_inside]"
    while (dropped := metrics.scrape()[reason] - before[reason]) < 3:
        pass
    assert dropped == 3
    outside.close()


def test_one_who_looks_and_one_who_may_not(start, network, tmp_path):
    metrics = Metrics(tmp_path / "management.sock")
    start(network.config() + metrics.config)
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "--unix-socket",
                           metrics.path, "http://localhost/metrics"], capture_output=True, text=True, check=True)
    assert done.stdout == "405"
