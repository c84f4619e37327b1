"""Start the command line: `python -m pipeline`."""

if __name__ == "__main__":
    try:
        from pipeline.cli.app import main
    except KeyboardInterrupt:  # nothing has begun yet
        raise SystemExit(75) from None  # as errors.InterruptedRunError says
    raise SystemExit(main())
