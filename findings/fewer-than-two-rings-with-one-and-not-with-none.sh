#!/usr/bin/env bash
# Prometheus 2.42.0 (Debian 12): the alarm for fewer than two nodes rings with one, and is silent with none.
#
# Who runs two nodes wants to hear when there is one. `count(up{job="bars"} == 1) < 2` says that in so many words,
# and so it is found in many rules; with one node stopped it rings, which is how it is tried. One expects that none
# is fewer than two as well: that the alarm goes on when the second one stops.
#
# Seen: it stops ringing in that moment. A comparison leaves out what it is not true of, and the count of nothing is
# not 0 but nothing, which is neither more nor less than two. So whoever is on call is told that it is resolved when the
# last node has gone. So it is with a share ("of what was sent, less than half was acknowledged"), where none was
# acknowledged ever and the counter has no series yet. promtool's check finds nothing wrong with either.
# `sum(up{job="bars"}) < 2`, `== bool 1`, and `or vector(0)` behind what may be nothing, ring. Where no target is
# known any more, sum() is nothing, too, and `absent()` alone rings.
#
# The gateway's rules count nothing: it says such a number itself (bars_nodes_away), and a gateway that says nothing
# is up == 0 (config/prometheus-rules.yml).
#
# This needs Debian 12's prometheus, and fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
version=$(promtool --version 2>&1 | head -n 1)
echo "$version"
[[ "$version" == "promtool, version 2.42.0"* ]]
cat >"$folder/rules.yml" <<'YAML'
groups:
  - name: nodes
    rules:
      - {alert: counted, expr: 'count(up{job="bars"} == 1) < 2'}
      - {alert: counted or 0, expr: '(count(up{job="bars"} == 1) or vector(0)) < 2'}
      - {alert: counted as bool, expr: 'sum(up{job="bars"} == bool 1) < 2'}
      - {alert: summed, expr: 'sum(up{job="bars"}) < 2'}
      - {alert: absent, expr: 'absent(up{job="bars"})'}
  - name: messages
    rules:
      - {alert: share, expr: 'sum(rate(acknowledged_total[5m])) / sum(rate(sent_total[5m])) < 0.5'}
      - {alert: share or 0, expr: '(sum(rate(acknowledged_total[5m])) or vector(0)) / sum(rate(sent_total[5m])) < 0.5'}
YAML
promtool check rules --lint-fatal "$folder/rules.yml"
rings() { # MINUTE NAMES: exactly these ring by then
  cat <<YAML
      - eval_time: ${1}m
        expr: count by (alertname) (ALERTS{alertstate="firing"})
        exp_samples:
YAML
  for name in "${@:2}"; do
    printf "          - {labels: '{alertname=\"%s\"}', value: 1}\n" "$name"
  done
}
{
  cat <<'YAML'
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'up{job="bars", instance="a"}', values: '1x9 0x9 _x20'}
      - {series: 'up{job="bars", instance="b"}', values: '1x4 0x14 _x20'}
      - {series: 'sent_total{instance="a"}', values: '0+60x40'}
    promql_expr_test:
YAML
  echo "      # two nodes, one, none, and none that is known of"
  rings 3 'share or 0'
  rings 7 'counted' 'counted or 0' 'counted as bool' 'summed' 'share or 0'
  rings 13 'counted or 0' 'counted as bool' 'summed' 'share or 0'
  rings 30 'counted or 0' 'absent' 'share or 0'
} >"$folder/test.yml"
promtool test rules "$folder/test.yml"
