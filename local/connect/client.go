package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client asks a worker over REST. Any worker of a group will do: it passes on what another
// one has to answer.
type Client struct {
	URL  string // http://host:port
	HTTP *http.Client
}

// NewClient returns a client of the worker at a URL.
func NewClient(url string) *Client {
	return &Client{URL: strings.TrimRight(url, "/"), HTTP: &http.Client{Timeout: 30 * time.Second}}
}

// ErrNotFound says that there is no such connector.
var ErrNotFound = errors.New("no such connector")

// Status is what a worker knows of a connector.
type Status struct {
	State string // RUNNING, STOPPED, PAUSED, UNASSIGNED, FAILED
	Tasks []Task
}

// Task is a part of a connector.
type Task struct {
	State string `json:"state"`
	Trace string `json:"trace"` // of FAILED: the exception
}

// Failure is why the connector or a task of it failed, in one line; empty while none did.
func (s Status) Failure() string {
	for _, t := range s.Tasks {
		if t.State == "FAILED" {
			return cause(t.Trace)
		}
	}
	if s.State == "FAILED" {
		return "the connector failed"
	}
	return ""
}

// Running tells whether the connector and its one task run.
func (s Status) Running() bool {
	return s.State == "RUNNING" && len(s.Tasks) == 1 && s.Tasks[0].State == "RUNNING"
}

// cause is the innermost exception of a Java stack trace.
func cause(trace string) string {
	text, _, _ := strings.Cut(trace, "\n")
	for _, line := range strings.Split(trace, "\n") {
		if c, ok := strings.CutPrefix(line, "Caused by: "); ok {
			text = c
		}
	}
	return text
}

// Ping tells whether the worker answers and has joined its group.
func (c *Client) Ping(ctx context.Context) error {
	var names []string
	return c.do(ctx, http.MethodGet, "/connectors", nil, &names)
}

// Status returns a connector's. Errors: ErrNotFound.
func (c *Client) Status(ctx context.Context, name string) (Status, error) {
	var out struct {
		Connector struct {
			State string `json:"state"`
		} `json:"connector"`
		Tasks []Task `json:"tasks"`
	}
	err := c.do(ctx, http.MethodGet, path(name)+"/status", nil, &out)
	return Status{State: out.Connector.State, Tasks: out.Tasks}, err
}

// Config returns a connector's configuration. Errors: ErrNotFound.
func (c *Client) Config(ctx context.Context, name string) (map[string]string, error) {
	var out map[string]string
	return out, c.do(ctx, http.MethodGet, path(name)+"/config", nil, &out)
}

// Put makes a connector or gives it a new configuration. A new one runs at once; one that
// is stopped stays so.
func (c *Client) Put(ctx context.Context, name string, settings map[string]string) error {
	return c.do(ctx, http.MethodPut, path(name)+"/config", settings, nil)
}

// CreateStopped makes a connector that does not run until Resume, unless there is one.
func (c *Client) CreateStopped(ctx context.Context, name string, settings map[string]string) error {
	return c.do(ctx, http.MethodPost, "/connectors", map[string]any{"name": name, "config": settings, "initial_state": "STOPPED"}, nil)
}

// Stop ends a connector's task and returns when it has ended, after its last commit, and
// for certain: a task is gone from the status when its worker said so. Errors: ErrNotFound.
func (c *Client) Stop(ctx context.Context, name string) error {
	if err := c.do(ctx, http.MethodPut, path(name)+"/stop", nil, nil); err != nil {
		return err
	}
	return c.AwaitStopped(ctx, name)
}

// AwaitStopped returns when the connector is there, stopped, and has no task.
func (c *Client) AwaitStopped(ctx context.Context, name string) error {
	return c.await(ctx, name, "stop", func(s Status) bool { return s.State == "STOPPED" && len(s.Tasks) == 0 })
}

// Resume lets a stopped connector run.
func (c *Client) Resume(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPut, path(name)+"/resume", nil, nil)
}

// Restart restarts a connector and its task, whatever state they are in.
func (c *Client) Restart(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, path(name)+"/restart?includeTasks=true&onlyFailed=true", nil, nil)
}

// Begin gives a stopped connector the position in the log, lsn as a number, at which it is
// to begin, in place of any it had. Without one it would begin at its slot as well, but
// also make that when it is missing, and go on behind a gap without a word. One that has a
// position fails then.
func (c *Client) Begin(ctx context.Context, conn Connector, lsn int64) error {
	offsets := path(conn.Name()) + "/offsets"
	if err := c.do(ctx, http.MethodDelete, offsets, nil, nil); err != nil {
		return err
	}
	return c.do(ctx, http.MethodPatch, offsets, map[string]any{"offsets": []any{map[string]any{
		"partition": map[string]string{"server": conn.Service}, "offset": map[string]int64{"lsn": lsn},
	}}}, nil)
}

// Delete deletes a connector. Its offsets stay. One that is not there is none to delete.
func (c *Client) Delete(ctx context.Context, name string) error {
	err := c.do(ctx, http.MethodDelete, path(name), nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// AwaitRunning returns when the connector's task runs. A task that failed is an error.
func (c *Client) AwaitRunning(ctx context.Context, name string) error {
	return c.await(ctx, name, "run", Status.Running)
}

func (c *Client) await(ctx context.Context, name, what string, done func(Status) bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := c.Status(ctx, name)
		if err == nil && done(s) {
			return nil
		}
		if err == nil && what == "run" && s.Failure() != "" {
			return fmt.Errorf("connector %s failed: %s", name, s.Failure())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("connector %s does not %s (it is %s): %w", name, what, s.State, errors.Join(ctx.Err(), err))
		}
	}
}

func path(name string) string { return "/connectors/" + url.PathEscape(name) }

// do asks until the worker has an answer: 409 is "the group is rebalancing", and a 404
// without a connector of that name is told by ErrNotFound.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := c.once(ctx, method, path, in, out)
		if err == nil || status != http.StatusConflict || strings.Contains(err.Error(), "already exists") {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (c *Client) once(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask Kafka Connect: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("ask Kafka Connect: %w", err)
	}
	if res.StatusCode == http.StatusNotFound && strings.HasPrefix(path, "/connectors/") {
		return res.StatusCode, fmt.Errorf("%s %s: %w", method, path, ErrNotFound)
	}
	if res.StatusCode >= 300 {
		var problem struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(b, &problem) // else the status has to do
		return res.StatusCode, fmt.Errorf("%s %s: Kafka Connect answers %s: %s", method, path, res.Status, problem.Message)
	}
	if out == nil {
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return res.StatusCode, fmt.Errorf("read Kafka Connect's answer to %s %s: %w", method, path, err)
	}
	return res.StatusCode, nil
}
