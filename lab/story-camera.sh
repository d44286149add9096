# shellcheck shell=bash disable=SC2154,SC2034 # scripts/run, which reads this, sets the rest
# SPDX-License-Identifier: BSD-2-Clause
#
# Test #1: an IPv6-only phone serves its camera; it asks its router for an external port with PCP (RFC 6887); a
# host that has only IPv4 then sees the camera through the NAT64.

viewer_inside=2001:db8:64:ff9b::c000:20a # 192.0.2.10 in the NAT64's prefix

# field KEY: a value of the JSON object that portolan printed.
field() {
  /usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/map.json" "$1"
}

step "Bringing up the lab: six hosts, each a network namespace with a kernel stack of its own"
if [[ -e /run/portolan-lab/$name ]]; then
  failed "no lab $name yet" "/run/portolan-lab/$name exists: remove it with scripts/lab down --name $name"
fi
lab up --build "$build" || failed "scripts/lab up succeeds" "the lines above"
lab_started=yes
phone=$(on handset-3g ip -6 -o address show dev eth0 scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
router=$(on handset-3g ip -6 route show default | awk '{ print $3; exit }')
tell "handset-3g  the phone: IPv6 only. A router advertisement gave it $phone"
tell "            and the default router $router."
tell "gateway     that router: portoland, with a NAT64 (prefix 2001:db8:64:ff9b::/96, address 192.0.2.14)."
tell "viewer      somebody's computer: IPv4 only, 192.0.2.10."
tell "(also here: dns with DNS64; handset-wifi and laptop on a shared link)"

step "The phone serves its camera on port 8080, and viewer can't reach it"
on handset-3g curl -sS --max-time 10 "http://[$phone]:8080/" >"$work/page-inside.html" ||
  failed "the camera's page at http://[$phone]:8080/ on the phone itself" "curl's message above"
grep -q 'Camera of handset-3g' "$work/page-inside.html" ||
  failed "a page called \"Camera of handset-3g\"" "$(head -c 200 "$work/page-inside.html")"
ipv4_of_phone=$(on handset-3g ip -4 -o address show)
[[ -z $ipv4_of_phone ]] || failed "no IPv4 address on the phone" "$ipv4_of_phone"
ipv6_of_viewer=$(on viewer ip -6 -o address show)
[[ -z $ipv6_of_viewer ]] || failed "no IPv6 address on viewer" "$ipv6_of_viewer"
verified "the page is there on the phone; the phone has no IPv4 address and viewer no IPv6 address"
if on viewer curl -sS --max-time 2 http://192.0.2.14:8080/ >/dev/null 2>"$work/unmapped.txt"; then
  failed "nothing at http://192.0.2.14:8080/ before there is a mapping" "an answer"
fi
verified "http://192.0.2.14:8080/ on viewer: $(sed 's/^curl: ([0-9]*) //' "$work/unmapped.txt")"

step "Outbound works already: the phone pings viewer through the NAT64"
tell "192.0.2.10 appears inside as $viewer_inside"
on handset-3g ping -n -c 3 -i 0.2 -W 5 "$viewer_inside" >"$work/ping.txt" 2>&1 || {
  quote "$work/ping.txt"
  failed "3 answers from $viewer_inside" "the lines above"
}
grep 'bytes from' "$work/ping.txt" | quote
verified "$(grep 'packets transmitted' "$work/ping.txt")"

step "... and by name: http://viewer.example/ from the phone"
address=$(on handset-3g /usr/bin/python3 -c '
import socket
print(socket.getaddrinfo("viewer.example", 80, socket.AF_INET6, socket.SOCK_STREAM)[0][4][0])') ||
  failed "viewer.example has an AAAA record made by DNS64" "the message above"
[[ $address == "$viewer_inside" ]] || failed "viewer.example is $viewer_inside" "$address"
tell "viewer.example has only an A record; DNS64 made $address of it"
on handset-3g curl -sS --max-time 10 http://viewer.example/ >"$work/hello.txt" ||
  failed "an answer from http://viewer.example/" "curl's message above"
quote "$work/hello.txt"
grep -q 'you are 192\.0\.2\.14 port' "$work/hello.txt" ||
  failed "viewer sees the phone as 192.0.2.14" "$(cat "$work/hello.txt")"
verified "viewer saw the phone as the NAT64's address 192.0.2.14"

step "The phone asks its router for an external port: portolan map tcp 8080"
status=0
on handset-3g portolan map tcp 8080 --json --verbose >"$work/map.json" 2>"$work/map.txt" || status=$?
quote "$work/map.txt"
if ((status)); then failed "a mapping, exit status 0" "exit status $status: $(cat "$work/map.json")"; fi
result=$(field result)
[[ $result == SUCCESS ]] || failed "result SUCCESS" "$result"
external_address=$(field external-address)
external_port=$(field external-port)
[[ $external_address == 192.0.2.14 ]] || failed "external address 192.0.2.14" "$external_address"
[[ $(field internal-address) == "$phone" && $(field internal-port) == 8080 ]] ||
  failed "a mapping for $phone port 8080" "$(cat "$work/map.json")"
url=http://$external_address:$external_port
verified "$external_address port $external_port now leads to [$phone]:8080, for $(field lifetime) s"

step "viewer opens $url/ over IPv4"
on viewer curl -sS --max-time 10 "$url/" >"$work/page.html" ||
  failed "the camera's page at $url/" "curl's message above"
grep -q 'Camera of handset-3g' "$work/page.html" ||
  failed "a page called \"Camera of handset-3g\"" "$(head -c 200 "$work/page.html")"
sed -n 's/.*<p>\(This page comes.*\)<\/p>.*/\1/p' "$work/page.html" | quote
grep -q "You are $viewer_inside port" "$work/page.html" ||
  failed "the phone sees viewer as $viewer_inside" "the line above"
verified "the phone's page arrived on an IPv4-only host; the phone saw viewer as $viewer_inside"

step "... and watches the video: every frame carries a counter, which must advance"
on viewer lab/watch "$url/video" --frames 5 >"$work/frames.txt" 2>&1 || {
  quote "$work/frames.txt"
  failed "5 pictures with growing frame numbers from $url/video" "the lines above"
}
quote "$work/frames.txt"
frames=$(sed -n 's/^frame \([0-9]*\):.*/\1/p' "$work/frames.txt" | paste -sd' ')
[[ $(wc -w <<<"$frames") -eq 5 ]] || failed "5 frame numbers" "$frames"
verified "the frame counter advanced: $frames"

things_to_try() {
cat <<MENU

${bold}The lab stays up until Ctrl-C. Things to try, in another terminal in $PWD:${plain}

  see the hosts and their addresses
    ${sudo}scripts/lab list
  watch the camera from the IPv4 side
    $at viewer lab/watch $url/video --frames 20
  a second host asks for the same external port, and gets another
    $at laptop portolan map tcp 8080 --external-port $external_port
  ... or insists, and is refused
    $at laptop portolan map tcp 8081 --external-port $external_port --prefer-failure
  delete the phone's mapping, then see viewer fail to connect
    $at handset-3g portolan map tcp 8080 --delete --nonce $(field nonce)
    $at viewer curl --max-time 3 $url/
  is the server there?
    $at handset-3g portolan announce
  what the server logs
    ${sudo}scripts/lab server log --name $name
MENU
}
