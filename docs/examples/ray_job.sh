#!/usr/bin/env bash
# Submits a run to a Ray cluster and waits for it; one that does not succeed is continued, four times at most. See docs/ray.md.
#
# To copy: the head's address; and the config, on a disk that all nodes see.
HEAD="${HEAD:-http://head:8265}"
CONFIG="${CONFIG:-/shared/tags/configs/tags.yaml}"

# Ray does not tell the exit status of a command. Where trying again does not help, it costs nothing: no answer is paid twice.
for _ in 1 2 3 4 5; do
    ray job submit --address "$HEAD" -- python -m pipeline run "$CONFIG" --engine ray --workers 8 && exit
done
exit 1
