# shellcheck shell=bash disable=SC2154,SC2034 # scripts/run, which reads this, sets the rest
# SPDX-License-Identifier: BSD-2-Clause
#
# Test #2: a SIP phone on an IPv6-only host asks PCP for its external address and ports, puts them into SIP and SDP, and
# so registers at an IPv4 SIP server and talks with an IPv4 phone; two such phones talk over IPv6.

# account USER: writes the phone's file.
account() {
  printf 'user = "%s"\ndomain = "mysip.example"\npassword = "pw-%s"\n' "$1" "$1" >"$work/$1.conf"
}
# phone HOST USER NAME OPTIONS...: runs a phone; its events are in NAME.json, its trace in NAME.trace.
phone() {
  on "$1" portolan-phone --config "$work/$2.conf" --json --trace --record "$work/$3.wav" "${@:4}" \
    >"$work/$3.json" 2>"$work/$3.trace"
}
# said NAME EVENT KEY: a value of the last event of its kind that a phone told.
said() {
  /usr/bin/python3 -c '
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
print([event for event in events if event["event"] == sys.argv[2]][-1].get(sys.argv[3], ""))' \
    "$work/$1.json" "$2" "$3"
}
# heard NAME HZ SECONDS
heard() {
  lab/heard "$work/$1.wav" "$2" "$3" >"$work/heard.txt" ||
    failed "$2 Hz for $3 s in what was heard" "$(cat "$work/heard.txt")"
  verified "heard $(cat "$work/heard.txt")"
}
# excerpt NAME FIRST: the first message of a trace that begins so, its lines that tell of addresses.
excerpt() {
  awk -v first="$2" '
    $2 == "SIP" { line = $0; sub(/^.*SIP \|  */, "", line) }
    index(line, first) == 1 && $2 == "SIP" { if (seen++) exit; shown = 1 }
    shown && line ~ /^----/ { exit }
    shown && line ~ /^(REGISTER|INVITE|Via|From|To|Contact|o=|c=|m=|a=rtcp|a=altc)/ { print line }' "$work/$1.trace" | quote
}

step "Bringing up the lab: the hosts of test #1, and with IPv4 only a SIP server and a phone"
if [[ -e /run/portolan-lab/$name ]]; then
  failed "no lab $name yet" "/run/portolan-lab/$name exists: remove it with scripts/lab down --name $name"
fi
lab up --build "$build" --scenario sip || failed "scripts/lab up succeeds" "the lines above"
lab_started=yes
tell "sip          kamailio, the server mysip.example: IPv4 only, 192.0.2.13"
tell "peer         baresip, the phone 13@mysip.example: IPv4 only, 192.0.2.11; it answers, and sends 1000 Hz"
tell "handset-3g   IPv6 only; it will be client4@mysip.example, and send 440 Hz"
ipv4_of_handset=$(on handset-3g ip -4 -o address show)
[[ -z $ipv4_of_handset ]] || failed "no IPv4 address on handset-3g" "$ipv4_of_handset"
verified "handset-3g has no IPv4 address"
account client4
account client5

step "Without PCP: the phone on handset-3g calls 13, and is refused"
phone handset-3g client4 without --no-pcp --call sip:13@mysip.example --tone 440 --duration 3 || true
excerpt without "INVITE"
[[ $(said without ended status) == 488 ]] || failed "488 Not Acceptable Here" "$(tail -n 1 "$work/without.json")"
verified "488 Not Acceptable Here: an IPv4 phone can do nothing with an IPv6 address"

step "With PCP: it asks for its ports, registers, and calls 13"
phone handset-3g client4 out --call sip:13@mysip.example --tone 440 --duration 5 ||
  failed "a call, exit status 0" "$(tail -n 3 "$work/out.trace")"
grep ' PCP ' "$work/out.trace" | sed 's/^.*PCP | //' | quote
excerpt out "REGISTER"
echo
excerpt out "INVITE"
external=$(said out ended external)
[[ $external == 192.0.2.14:* ]] || failed "media mapped to 192.0.2.14" "$external"
verified "Via, Contact and SDP have the NAT64's address 192.0.2.14, and ports that PCP gave"
verified "sent $(said out ended packets-sent) packets, received $(said out ended packets-received), lost $(said out ended packets-lost); RTCP: $(said out ended reports-received) reports"
heard out 1000 4

step "13 calls back"
phone handset-3g client4 in --answer --calls 1 --tone 440 --duration 5 &
sleeper=$!
until grep -q '"registered"' "$work/in.json" 2>/dev/null; do
  kill -0 "$sleeper" 2>/dev/null || failed "the phone registers" "$(tail -n 3 "$work/in.trace")"
  sleep 0.1
done
on peer lab/dial sip:client4@mysip.example
wait "$sleeper" || failed "an answered call" "$(tail -n 3 "$work/in.trace")"
sleeper=
tell "it came from $(said in ended remote) to the mapping of SIP, $(said in mapped address) port $(said in mapped port)"
heard in 1000 4

step "A second IPv6-only phone, client5 on handset-wifi: signalling by the IPv4 server, media directly"
phone handset-wifi client5 called --answer --calls 1 --tone 600 --duration 60 &
sleeper=$!
until grep -q '"registered"' "$work/called.json" 2>/dev/null; do
  kill -0 "$sleeper" 2>/dev/null || failed "the second phone registers" "$(tail -n 3 "$work/called.trace")"
  sleep 0.1
done
phone handset-3g client4 direct --call sip:client5@mysip.example --tone 440 --duration 4 ||
  failed "a call, exit status 0" "$(tail -n 3 "$work/direct.trace")"
wait "$sleeper" || failed "an answered call" "$(tail -n 3 "$work/called.trace")"
sleeper=
[[ $(said direct ended family) == IPv6 ]] || failed "media over IPv6" "$(tail -n 1 "$work/direct.json")"
verified "altc (RFC 6947): media went to $(said direct ended remote-rtp), past the NAT64"
heard direct 600 3

things_to_try() {
  cat <<MENU

${bold}The lab stays up until Ctrl-C. Things to try, in another terminal in $PWD:${plain}

  call 13 by hand ("call 13", "hangup", "quit")
    $at handset-3g portolan-phone --user client4 --domain mysip.example --password pw-client4 --tone 440
  see SIP and PCP side by side
    $at handset-3g portolan-phone --user client4 --domain mysip.example --password pw-client4 \\
      --call sip:13@mysip.example --tone 440 --duration 5 --trace
  what the server logs
    ${sudo}scripts/lab server log --name $name
MENU
}
