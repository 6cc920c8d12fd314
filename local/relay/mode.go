package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"eventshop.example/pkg/outbox"
)

// Mode is what the service says of its relay; see the operators' API, GET /outbox/relay.
func (s Service) Mode(ctx context.Context) (outbox.RelayMode, error) { return s.mode(ctx, 0) }

func (s Service) mode(ctx context.Context, upTo int64) (m outbox.RelayMode, err error) {
	return m, s.ask(ctx, http.MethodGet, fmt.Sprintf("/outbox/relay?upTo=%d", upTo), "", nil, &m)
}

func (s Service) set(ctx context.Context, mode outbox.Mode, slot, by string) error {
	in := map[string]string{"mode": string(mode)}
	if slot != "" {
		in["slot"] = slot
	}
	return s.ask(ctx, http.MethodPut, "/outbox/relay", by, in, nil)
}

// refusal is an answer, in contrast to none.
type refusal struct{ status, text string }

func (r refusal) Error() string { return "the service answers " + r.status + ": " + r.text }

// ask asks the service's processes one after the other until one answers: all of them may,
// and each may be the one that is down.
func (s Service) ask(ctx context.Context, method, path, by string, in, out any) error {
	var failed []error
	for _, url := range s.Operators {
		err := askOne(ctx, method, strings.TrimRight(url, "/")+path, by, in, out)
		if err == nil {
			return nil
		}
		failed = append(failed, err)
		if errors.As(err, new(refusal)) {
			break
		}
	}
	if len(failed) == 0 {
		return errors.New("no operators' listener is known")
	}
	return errors.Join(failed...)
}

func askOne(ctx context.Context, method, url, by string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if by != "" {
		req.Header.Set("X-Operator", by)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the service: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ask the service: %w", err)
	}
	if res.StatusCode >= 500 {
		return fmt.Errorf("ask the service: %s: %s", res.Status, b)
	}
	if res.StatusCode >= 300 {
		return refusal{res.Status, string(b)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the service's answer: %w", err)
	}
	return nil
}
