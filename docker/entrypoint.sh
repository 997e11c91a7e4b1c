#!/bin/sh
# `docker run utad-monai teacher ...` is short for the training bundle of that name; anything else is run as it is.
set -eu
bundles=$(utad-monai bundles)
case "${1:-}" in
teacher | student | segmentation)
    stage=$1
    shift
    exec python -m monai.bundle run training --config_file "$bundles/$stage.json" "$@"
    ;;
inference | evaluate)
    stage=$1
    shift
    exec python -m monai.bundle run --config_file "$bundles/$stage.json" "$@"
    ;;
*)
    exec "$@"
    ;;
esac
