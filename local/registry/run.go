package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// requestTimeout bounds the reading of one request, which comes from this machine.
	requestTimeout = 10 * time.Second
	// stopTimeout bounds the wait for requests under way at the end.
	stopTimeout = 5 * time.Second
)

// Config says where the registry listens and keeps its data.
type Config struct {
	Addr    string // "127.0.0.1:port"
	DataDir string // created when missing; one registry uses it at a time
	Topic   Topic  // in place of DataDir when it has a name
}

func (c Config) open(ctx context.Context) (*Registry, error) {
	if c.Topic.Name != "" {
		return OpenTopic(ctx, c.Topic)
	}
	return Open(c.DataDir)
}

// Run serves until ctx ends, then lets requests under way finish and returns nil. It
// returns an error at once when the address is taken or the data cannot be read, and
// later when the data cannot be written.
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
	server := &http.Server{
		Handler:           r.Handler(),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
	}
	slog.Info("schema registry listens", "addr", listener.Addr().String(), "data", cfg.DataDir, "topic", cfg.Topic.Name)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve schema registry on %s: %w", cfg.Addr, err)
	case <-r.journal.failed():
		return errors.Join(fmt.Errorf("schema registry: %w", r.journal.failure()), stop(server))
	case <-ctx.Done():
		slog.Info("schema registry stops")
		return stop(server)
	}
}

// stop ends the server. Its own time: the context that ended the run is over.
func stop(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stop schema registry: %w", err), server.Close())
	}
	return nil
}
