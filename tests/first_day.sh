#!/bin/sh
# A first day with this project at the tiny size, with few scenes: the README's commands, one after the other.
#
#   sh tests/first_day.sh
#
# takes some minutes on two CPU cores, needs no network once the dependencies are there, and leaves its runs in
# runs/quickstart and runs/small_vlm. Each step says what has to hold after it; the first that does not ends the day.
set -eu

run=".venv/bin/python -m experiments.run"
quickstart=runs/quickstart/latest
lora=runs/small_vlm/smolvlm_500m_lora/latest
few="--data.init_args.scenes={train: 12, val: 2, test: 6}"

step() {
	printf '\n== %s\n' "$*"
}
holds() {
	test "$@" || { echo "This does not hold after the step: $*" >&2; exit 1; }
}

step quick start
make experiment NAME=quickstart SCALE=tiny ARGS="'$few'"
holds -s $quickstart/report.html
trained=$(readlink $quickstart)

step predict
$run predict -c $quickstart/config.yaml
holds "$(readlink $quickstart)" = "$trained"

step predict again
$run predict -c $quickstart/config.yaml --ckpt_path $quickstart/checkpoints/last.ckpt
holds "$(readlink $quickstart)" = "$trained"

step test
$run test -c $quickstart/config.yaml
holds "$(readlink $quickstart)" = "$trained"

step a training is killed
$run experiment -c quickstart --scale tiny "$few" --baselines.blind false \
	--model.init_args.phases '[{objective: normalized, epochs: 5}]' &
until [ "$(readlink $quickstart)" != "$trained" ]; do
	kill -0 $!
	sleep 0.1
done
kill -9 $!
wait $! || echo "It was killed."
killed=$(readlink $quickstart)
holds ! -e $quickstart/results.json

step resume
make experiment NAME=quickstart RESUME=1
holds "$(readlink $quickstart)" = "$killed"
holds -s $quickstart/results.json

step train longer
make experiment NAME=quickstart RESUME=1 ARGS="--model.init_args.phases='[{objective: normalized, epochs: 6}]'"
holds "$(readlink $quickstart)" = "$killed"

step compare
make compare A=runs/quickstart/"$trained" B=quickstart

step fine-tune
make experiment NAME=small_vlm/smolvlm_500m_lora SCALE=tiny ARGS="'$few'"

step export
make export NAME=small_vlm/smolvlm_500m_lora
holds -s $lora/adapter/README.md

step own images
mkdir -p runs/first_day
cp $quickstart/gallery/000.jpg "runs/first_day/IMG 1.jpg"
cat > runs/first_day/questions.csv <<'ROWS'
image,question,choices
IMG 1.jpg,How many pallets are there?,
IMG 1.jpg,Which is nearer?,the pallet | the shelf
ROWS
$run predict -c $lora/config.yaml --ckpt_path $lora/checkpoints/last.ckpt --data OwnImages --data.root runs/first_day
