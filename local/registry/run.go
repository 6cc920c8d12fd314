package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"eventshop.example/pkg/service"
)

// Config is the registry's address and storage.
type Config struct {
	Addr    string // "127.0.0.1:port"
	DataDir string // created if missing; one registry uses it at a time
	Topic   Topic  // replaces DataDir if it has a name
}

func (c Config) open(ctx context.Context) (*Registry, error) {
	if c.Topic.Name != "" {
		return OpenTopic(ctx, c.Topic)
	}
	return Open(c.DataDir)
}

// Run serves until ctx ends. Then it lets requests under way finish, within the bounds of
// [service.Serve], and returns nil. It returns an error at once if the address is taken or the data
// cannot be read, and later if the data cannot be written.
func Run(ctx context.Context, cfg Config) (err error) {
	r, err := cfg.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("start schema registry on %s: %w", cfg.Addr, err)
	}
	slog.Info("schema registry listens", "addr", listener.Addr().String(), "data", cfg.DataDir, "topic", cfg.Topic.Name)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- service.ServeOn(serving, "schema registry", listener, r.Handler()) }()
	select {
	case err := <-served:
		if err == nil {
			slog.Info("schema registry stopped")
		}
		return err // nil if ctx has ended
	case <-r.journal.failed():
		stop()
		return errors.Join(fmt.Errorf("schema registry: %w", r.journal.failure()), <-served)
	}
}
