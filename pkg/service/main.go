package service

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"eventshop.example/pkg/telemetry"
)

// Exit codes of [Main].
const (
	exitOK     = 0
	exitFailed = 1 // a component failed
	exitConfig = 2 // the environment is wrong: starting again cannot help
)

// Main is the body of a service's main function. It reads the configuration, sets the default
// logger to a JSON logger on standard output (level from LOG_LEVEL, default info; for name and subject
// see [telemetry.NewLogger]), runs until
// SIGINT or SIGTERM and exits: 0 after a graceful stop, 1 when run failed, 2 when the configuration
// is wrong. A second signal ends the process at once.
//
// With the first argument "healthcheck" it asks the running process, at /readyz of ADDR, and exits
// 0 when that is ready, else 1 with the reason on standard output. The given commands are further
// such arguments.
func Main[C any](name, subject string, configure func(Lookup) (C, error), run func(context.Context, C) error, commands ...Command) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // restores the default action of the signals
	if len(os.Args) > 1 {
		commands = append([]Command{{Name: "healthcheck", Run: healthcheck}}, commands...)
		os.Exit(command(ctx, os.Stdout, name, os.LookupEnv, os.Args[1:], commands))
	}
	os.Exit(start(ctx, os.Stdout, name, subject, os.LookupEnv, configure, run))
}

func start[C any](ctx context.Context, out io.Writer, name, subject string, lookup Lookup, configure func(Lookup) (C, error), run func(context.Context, C) error) int {
	env := NewEnv(lookup)
	var level slog.Level
	env.Read([]Setting{LogLevel(&level)})
	log := telemetry.NewLogger(out, name, subject, level)
	slog.SetDefault(log)
	if err := env.Err(); err != nil {
		log.Error("configuration", "error", err)
		return exitConfig
	}
	cfg, err := configure(lookup)
	if err != nil {
		log.Error("configuration", "error", err)
		return exitConfig
	}
	log.Info("service starts", "pid", os.Getpid())
	if err := call(ctx, func(ctx context.Context) error { return run(ctx, cfg) }); err != nil {
		log.Error("service failed", "error", err)
		return exitFailed
	}
	log.Info("service stopped")
	return exitOK
}
