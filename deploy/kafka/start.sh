#!/usr/bin/env bash
# Starts Kafka in its image: formats the storage of a fresh volume and leaves one that has
# data alone, however the last life ended.
#
#   CLUSTER_ID     id of the cluster, 22 characters of base64
#   EXTERNAL_PORT  port on the host's loopback interface by which clients outside come
set -euo pipefail
properties=/tmp/server.properties
{
  cat /etc/eventshop/server.properties
  echo "advertised.listeners=INTERNAL://kafka:9092,EXTERNAL://localhost:$EXTERNAL_PORT"
} >"$properties"
kafka() { # exec'd, so that signals reach it
  exec java ${KAFKA_HEAP_OPTS:-} -Dlog4j2.configurationFile=/etc/eventshop/log4j2.properties -cp '/opt/kafka/libs/*' "$@"
}
[ -e /var/lib/kafka/data/meta.properties ] ||
  (kafka kafka.tools.StorageTool format --cluster-id "$CLUSTER_ID" --config "$properties" --ignore-formatted)
kafka kafka.Kafka "$properties"
