"""Where people meet the rest: command line, plots, reports, exports."""
