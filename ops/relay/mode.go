package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
)

// Mode returns the service's relay mode; see the operators' API, GET /outbox/relay.
func (s Service) Mode(ctx context.Context) (operators.Relay, error) { return s.mode(ctx, 0) }

func (s Service) mode(ctx context.Context, upTo int64) (m operators.Relay, err error) {
	err = s.ask(ctx, "", func(ctx context.Context, c *operators.Client) (err error) {
		m, err = c.Relay(ctx, upTo)
		return err
	})
	return m, err
}

func (s Service) set(ctx context.Context, mode operators.RelayMode, slot, by string) error {
	return s.ask(ctx, by, func(ctx context.Context, c *operators.Client) error { return c.SetRelay(ctx, mode, slot) })
}

// askWithin bounds one process's answer. A frozen process accepts connections and never answers;
// then the next process is asked.
const askWithin = 30 * time.Second

// ask sends a request, in the name of an operator, to the service's processes in turn until one
// answers. Any process can answer, and any may be down. A refusal is an answer too: ask does not
// try another process after it. Unlike [operators.Change] it sends a change again when the outcome is
// unknown, because a repeated change of the mode has one effect.
func (s Service) ask(ctx context.Context, by string, send func(context.Context, *operators.Client) error) error {
	var failed []error
	for _, url := range s.Operators {
		err := askOne(ctx, operators.NewClient(url, by, http.DefaultClient), send)
		if err == nil {
			return nil
		}
		failed = append(failed, err)
		if status := jsonhttp.StatusOf(err); status != 0 && status < http.StatusInternalServerError {
			break
		}
	}
	if len(failed) == 0 {
		return errors.New("no operators' listener is known")
	}
	return errors.Join(failed...)
}

func askOne(ctx context.Context, c *operators.Client, send func(context.Context, *operators.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err := send(ctx, c)
	if status := jsonhttp.StatusOf(err); status != 0 {
		return fmt.Errorf("the service answers %d %s: %w", status, http.StatusText(status), err)
	}
	if err != nil {
		return fmt.Errorf("ask the service: %w", err)
	}
	return nil
}
