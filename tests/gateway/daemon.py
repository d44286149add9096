#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# daemon.py PROGRAM: portolan-nat64 alone in a network namespace, asked over every transport.
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from prometheus_client.parser import text_string_to_metric_families

PROGRAM = sys.argv[1]


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificates(folder, authority, name):
    """An authority if there is none yet, and what it signs for `name` and 127.0.0.1."""
    base = f"{folder}/{authority}"
    if not os.path.exists(f"{base}.pem"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                "-subj", f"/CN={authority}", "-keyout", f"{base}.key", "-out", f"{base}.pem")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
            "basicConstraints=critical,CA:FALSE", "-CA", f"{base}.pem", "-CAkey", f"{base}.key",
            "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem")


def run(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def expect(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")


URL = "http://127.0.0.1:9464"


def scrape(way):
    """Samples of /metrics by name and labels, without version. Prometheus' own library reads them, as strict as it
    is."""
    done = subprocess.run(["curl", "-sSf", *way, URL + "/metrics"], capture_output=True, text=True, timeout=30, check=True)
    samples = {}
    for family in text_string_to_metric_families(done.stdout):
        expect(family.documentation and family.type in ("counter", "gauge", "histogram"), f"{family} has help and type")
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if name != "version")
            key = sample.name + (f"{{{labels}}}" if labels else "")
            expect(key not in samples, f"{key} twice")
            samples[key] = sample.value
    return samples


def status_of(path, *options):
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, URL + path],
                          capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        certificates(folder, "ours", "gateway")
        certificates(folder, "ours", "client")
        certificates(folder, "others", "stranger")
        certificates(folder, "others", "renewed")
        config = f"{folder}/nat64.toml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"""unexpected_calls = "kill"
runtime_directory = "{folder}/run"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
[control]
listen = ["unix:{folder}/run/nat64.sock", "tcp:127.0.0.1:5352", "tls:127.0.0.1:5353"]
certificate = "{folder}/gateway.pem"
key = "{folder}/gateway.key"
authorities = "{folder}/ours.pem"
reconcile_grace = 3600
[metrics]
listen = ["unix:{folder}/run/metrics.sock", "tcp:127.0.0.1:9464"]
""")
        code, out, err = run("--config", config, "--check-config")
        expect(code == 0 and "no mistakes" in out, f"--check-config: {out}{err}")
        daemon = subprocess.Popen([PROGRAM, "--config", config], stderr=subprocess.PIPE, text=True)
        try:
            for line in daemon.stderr:
                if " ready: " in line:
                    break
            else:
                raise SystemExit("FAILED: the daemon is not ready")

            def tls(name, authority="ours"):
                return ["--connect", "tls:127.0.0.1:5353", "--certificate", f"{folder}/{name}.pem", "--key",
                        f"{folder}/{name}.key", "--authorities", f"{folder}/{authority}.pem"]

            ways = [["--connect", f"unix:{folder}/run/nat64.sock"], ["--connect", "tcp:127.0.0.1:5352"], tls("client")]
            for way in ways:
                for view in ("pools", "bib", "sessions", "users", "profiles"):
                    code, out, err = run("show", view, "--json", *way)
                    expect(code == 0, f"show {view} {way}: {err}")
                    expect(len(json.loads(out)) == (1 if view == "pools" else 0), f"show {view}: {out}")
                code, out, err = run("show", "counters", "--json", *way)
                expect(code == 0 and json.loads(out)["bindings"] == 0, f"counters {way}: {out}{err}")
                code, out, err = run("trace", "udp", "[2001:db8:112::2]:5000", "[2001:db8:64:ff9b::198.51.100.7]:53",
                                     *way)
                expect(code == 3 and "dropped: not_reconciled" in out, f"trace {way}: {code} {out}{err}")
            expect("192.0.2.14" in run("show", "pools", *ways[0])[1], "pools as text")
            code, out, err = run("ports", "--config", config, "192.0.2.14:5000")
            expect(code == 2 and "no [nat64.deterministic]" in err, f"ports without a plan: {code} {out}{err}")
            planned = f"{folder}/planned.toml"
            with open(planned, "w", encoding="utf-8") as file:
                file.write('[nat64]\nprefix = "2001:db8:64:ff9b::/96"\npool = ["192.0.2.14"]\n'
                           '[nat64.deterministic]\ninside = "2001:db8:112::/60"\n')
            code, out, err = run("ports", "--config", planned, "192.0.2.14:5057")
            expect(code == 0 and "2001:db8:112:1::/64" in out, f"whose a port is: {code} {out}{err}")
            code, out, err = run("ports", "--json", "--config", planned, "2001:db8:112:1::9")
            expect(code == 0 and json.loads(out)["start-port-number"] == 5056, f"ports of a host: {code} {out}{err}")
            code, out, err = run("ports", "--config", planned, "192.0.2.14:80")
            expect(code == 1 and "reserved" in out, f"a reserved port: {code} {out}{err}")
            at_unix, at_tcp = ["--unix-socket", f"{folder}/run/metrics.sock"], []
            for way in (at_unix, at_tcp):
                samples = scrape(way)
                expect(samples['portolan_build_info{program="portolan-nat64"}'] == 1, f"who it is: {samples}")
                expect(samples["portolan_nat64_awaits_reconciliation"] == 1 and samples["portolan_nat64_driven"] == 0,
                       f"how it stands with a server: {samples}")
                expect(samples["portolan_nat64_pool_addresses"] == 1, f"the pool: {samples}")
                expect(samples['portolan_nat64_pool_bound_ports{address="192.0.2.14",protocol="udp"}'] == 0,
                       f"its ports: {samples}")
                expect(samples['portolan_log_messages_total{level="error"}'] == 0, f"errors: {samples}")
            expect(scrape(at_tcp)["process_cpu_seconds_total"] > 0, "processor time")
            expect(status_of("/other") == "404" and status_of("/metrics", "-X", "POST") == "405", "other requests")
            code, out, err = run("show", "pools", *tls("stranger"))
            expect(code == 1 and not out, f"a stranger's certificate got in: {out}")
            code, _, err = run("show", "pools", *tls("client", "others"))
            expect(code == 1, "the client trusts a gateway that it does not know")
            code, _, err = run("show", "pools", "--connect", "tcp:192.0.2.1:5352")
            expect(code == 2 and "plain TCP" in err, f"plain TCP to another host: {err}")
            code, _, err = run("--config", config)
            expect(code == 1 and "another" in err, f"a second daemon: {err}")
            code, _, err = run("--config", config, "--log-format", "json")
            said = [json.loads(line) for line in err.splitlines()]
            expect(code == 1 and [line["id"] for line in said if line["level"] == "error"] == ["start-failed"],
                   f"a second daemon in JSON: {err}")
            expect(said[-1]["message"] == said[-1]["error"] and "another" in said[-1]["error"], f"its reason: {err}")
            code, _, err = run("--config", config, "--log-format", "xml")
            expect(code == 2 and "neither text nor json" in err, f"a log of another format: {err}")

            def reload():
                """What the daemon says of it."""
                daemon.send_signal(signal.SIGHUP)
                said = []
                for line in daemon.stderr:
                    said.append(line)
                    if "configuration reloaded" in line or "not reloaded" in line:
                        break
                return "".join(said)

            text = open(config, encoding="utf-8").read()
            with open(config, "w", encoding="utf-8") as file:
                file.write(text.replace('["192.0.2.14"]', '["192.0.2.14", "192.0.2.15"]'))
            said = reload()
            expect("configuration reloaded" in said, said)
            expect(len(json.loads(run("show", "pools", "--json", *ways[0])[1])) == 2, "a pool that has grown")
            # As if renewed, by an authority that only this client knows.
            shutil.copy(f"{folder}/renewed.pem", f"{folder}/gateway.pem")
            said = reload()
            expect("not reloaded" in said and "gateway.key" in said, f"a certificate without its key: {said}")
            code, out, err = run("show", "pools", *tls("client"))
            expect(code == 0, f"what was shown before: {err}")
            shutil.copy(f"{folder}/renewed.key", f"{folder}/gateway.key")
            said = reload()
            expect("configuration reloaded" in said, said)
            code, out, err = run("show", "pools", *tls("client"))
            expect(code == 1 and "certificate" in err, f"a renewed certificate: {code} {out}{err}")
            code, out, err = run("show", "pools", *tls("client", "others"))
            expect(code == 0, f"a renewed certificate: {err}")
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=30)
            expect(daemon.returncode == 0, f"the daemon ends with {daemon.returncode}")
            expect(not os.path.exists(f"{folder}/run/nat64.sock"), "its socket stays")
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    print("all fine")


if __name__ == "__main__":
    main()
