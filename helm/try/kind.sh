#!/usr/bin/env bash
# The whole service on a small real cluster, from the two images to a clip's layers. docs/kubernetes.md shows what it prints.
#
#   helm/try/kind.sh [--keep] [--images ORCHESTRATOR MODELS]
#
# Needs docker, kind, kubectl, helm and the `omnimatte` command. Without --images it builds them.
set -euo pipefail
cd "$(dirname "$0")/../.."

cluster=omnimatte-try namespace=omnimatte keep=false
orchestrator=ghcr.io/omnimatte/omnimatte-orchestrator:try models=ghcr.io/omnimatte/omnimatte-models:try build=true
while [ $# -gt 0 ]; do
    case $1 in
        --keep) keep=true; shift ;;
        --images) orchestrator=$2 models=$3 build=false; shift 3 ;;
        *) echo "unknown option $1; see the head of $0." >&2; exit 2 ;;
    esac
done
for program in docker kind kubectl helm omnimatte; do
    command -v "$program" >/dev/null || { echo "$program is not installed." >&2; exit 1; }
done

forwarding=
scratch=$(mktemp -d)
clean() {
    status=$?
    [ -z "$forwarding" ] || kill "$forwarding" 2>/dev/null || true
    if [ $status -ne 0 ] && kubectl config current-context 2>/dev/null | grep -q "$cluster"; then
        kubectl -n "$namespace" get pods,jobs,events --sort-by=.metadata.creationTimestamp | tail -40 || true
    fi
    rm -rf "$scratch"
    $keep || kind delete cluster --name "$cluster" >/dev/null 2>&1 || true
    exit $status
}
trap clean EXIT

if $build; then
    echo "== images"
    docker build -q -f images/orchestrator.Dockerfile -t "$orchestrator" .
    # Without a GPU, torch's CPU wheels are a twentieth of the size.
    docker build -q -f images/models.Dockerfile -t "$models" --build-arg TORCH_INDEX="${OMNIMATTE_TORCH_INDEX:-}" .
fi

echo "== cluster"
kind create cluster --name "$cluster" --config helm/try/kind-config.yaml --wait 120s
kind load docker-image --name "$cluster" "$orchestrator" "$models"

echo "== install"
kubectl create namespace "$namespace"
registry=${orchestrator%/*}
helm install demo helm/omnimatte --namespace "$namespace" --values helm/omnimatte/values/laptop.yaml \
    --set image.registry="$registry" --set workers.enabled=true \
    --set image.orchestrator.tag="${orchestrator##*:}" --set image.models.tag="${models##*:}" --wait --timeout 15m
helm test demo --namespace "$namespace" --timeout 5m

echo "== a clip"
kubectl -n "$namespace" port-forward service/demo-omnimatte 18000:8000 >/dev/null &
forwarding=$!
for _ in $(seq 60); do
    (exec 3<>/dev/tcp/127.0.0.1/18000) 2>/dev/null && break
    sleep 0.5
done
# The server asks for a key: one that lives a day.
key=$(kubectl -n "$namespace" exec demo-omnimatte-orchestrator-0 -- omnimatte keys create --tenant trial --days 1 \
    | grep -oE '[A-Za-z0-9_.-]{30,}' | head -1)
OMNIMATTE_API_KEY=$key omnimatte decompose samples/still_life/input.mp4 --server 127.0.0.1:18000 \
    --mask vase=samples/still_life/mask_vase.mp4 --mask orange=samples/still_life/mask_orange.mp4 --out "$scratch/layers"
find "$scratch/layers" -maxdepth 2 | sort
echo "== well"
