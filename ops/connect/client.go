// Package connect is a client of a Kafka Connect worker's REST interface. It configures the
// Debezium connectors that relay the services' outboxes. The worker may run anywhere.
//
// # What it guarantees
//
// A connector with the configuration of [Connector.Settings] sends the same records as the polling
// relay of package outbox: keys, payloads, and headers in the same order, on the same partitions.
// Only the records' timestamps differ. The connector confirms a position in the database's log only
// after everything before that position is committed to Kafka. This is the purpose of Connect's
// exactly-once support here, see docs/adr/0005-change-data-capture.md.
//
// # What it does not
//
// Records can be sent twice after a crash, as with the polling relay. Consumers that read
// uncommitted records also see those of a transaction that Kafka aborted.
package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// Client calls a worker over REST. Any worker of a Connect group will do: workers forward requests
// to the worker that has to answer.
type Client struct{ api jsonhttp.Client }

// requestTimeout is more than the 90 s after which a worker itself gives up a request. It needs
// that long when it has to stop tasks, or when its group rebalances, before it can answer.
const requestTimeout = 100 * time.Second

// NewClient returns a client of the worker at a URL, "http://host:port".
func NewClient(url string) *Client {
	return &Client{jsonhttp.New(url, &http.Client{Timeout: requestTimeout})}
}

// ErrNotFound reports that there is no connector of that name.
var ErrNotFound = errors.New("no such connector")

// ErrExists reports that there is a connector of that name already.
var ErrExists = errors.New("the connector exists already")

// errNeverRan is a fault of Kafka (DistributedHerder.doFenceZombieSourceTasks, seen in 4.1): a
// stopped connector that has never had tasks has no generation of them. Its offsets can be changed
// until it is stopped a second time, and never again before it has run. See [Client.Halt].
var errNeverRan = errors.New("the connector was stopped twice and has never run, so Kafka Connect cannot change its offsets: resume it once, and repeat")

// Status is a worker's view of a connector.
type Status struct {
	State string // RUNNING, STOPPED, PAUSED, UNASSIGNED, FAILED
	Tasks []Task
}

// Task is a part of a connector.
type Task struct {
	State string `json:"state"`
	Trace string `json:"trace"` // of FAILED: the exception
}

// Failure returns in one line why the connector or one of its tasks failed. It is empty if none
// failed.
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

// Running reports whether the connector and its one task run.
func (s Status) Running() bool {
	return s.State == "RUNNING" && len(s.Tasks) == 1 && s.Tasks[0].State == "RUNNING"
}

// cause returns the innermost exception of a Java stack trace.
func cause(trace string) string {
	text, _, _ := strings.Cut(trace, "\n")
	for _, line := range strings.Split(trace, "\n") {
		if c, ok := strings.CutPrefix(line, "Caused by: "); ok {
			text = c
		}
	}
	return text
}

// Ping reports whether the worker answers and has joined its group.
func (c *Client) Ping(ctx context.Context) error {
	var names []string
	return c.do(ctx, http.MethodGet, "/connectors", nil, &names)
}

// Status returns the status of a connector. Errors: [ErrNotFound].
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

// Config returns the configuration of a connector. Errors: [ErrNotFound].
func (c *Client) Config(ctx context.Context, name string) (map[string]string, error) {
	var out map[string]string
	return out, c.do(ctx, http.MethodGet, path(name)+"/config", nil, &out)
}

// Put creates a connector or changes the configuration of an existing one. A new connector runs at
// once; a stopped one stays stopped.
func (c *Client) Put(ctx context.Context, name string, settings map[string]string) error {
	return c.do(ctx, http.MethodPut, path(name)+"/config", settings, nil)
}

// CreateStopped creates a connector that does not run until [Client.Resume]. Errors: [ErrExists].
func (c *Client) CreateStopped(ctx context.Context, name string, settings map[string]string) error {
	return c.do(ctx, http.MethodPost, "/connectors", map[string]any{"name": name, "config": settings, "initial_state": "STOPPED"}, nil)
}

// Stop ends a connector's task. It returns when the task has ended, after the task's last commit.
// This is certain: a task leaves the status only when its worker has reported its end. Errors:
// [ErrNotFound].
func (c *Client) Stop(ctx context.Context, name string) error {
	if err := c.do(ctx, http.MethodPut, path(name)+"/stop", nil, nil); err != nil {
		return err
	}
	return c.AwaitStopped(ctx, name)
}

// Halt makes sure that no task of the connector runs, and that none will run before
// [Client.Resume]. It stops a connector that runs. It deletes one that is stopped, because a second
// stop of a connector that has never run makes its offsets unchangeable. It reports whether the
// connector still exists.
func (c *Client) Halt(ctx context.Context, name string) (exists bool, err error) {
	s, err := c.Status(ctx, name)
	// A connector that is being created has no status yet.
	if errors.Is(err, ErrNotFound) || err == nil && s.State == "STOPPED" && len(s.Tasks) == 0 {
		return false, c.Delete(ctx, name)
	}
	if err == nil {
		err = c.Stop(ctx, name)
	}
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// AwaitStopped returns when the connector exists, is stopped and has no task.
func (c *Client) AwaitStopped(ctx context.Context, name string) error {
	return c.await(ctx, name, "stop", func(s Status) bool { return s.State == "STOPPED" && len(s.Tasks) == 0 })
}

// Resume starts a stopped connector.
func (c *Client) Resume(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPut, path(name)+"/resume", nil, nil)
}

// Restart restarts a connector and its task, whatever state they are in.
func (c *Client) Restart(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, path(name)+"/restart?includeTasks=true&onlyFailed=true", nil, nil)
}

// Begin sets the position in the log at which a stopped connector begins. lsn is the position as a
// number; it replaces any stored position. A connector without a position would begin at its slot
// too, but if the slot were missing it would create one and continue behind the gap without an
// error. A connector with a position fails then.
func (c *Client) Begin(ctx context.Context, conn Connector, lsn int64) error {
	offsets := path(conn.Name()) + "/offsets"
	if err := c.do(ctx, http.MethodDelete, offsets, nil, nil); err != nil {
		return err
	}
	return c.do(ctx, http.MethodPatch, offsets, map[string]any{"offsets": []any{map[string]any{
		"partition": map[string]string{"server": conn.Service}, "offset": map[string]int64{"lsn": lsn},
	}}}, nil)
}

// Delete deletes a connector. Its offsets stay. A connector that does not exist is no error.
func (c *Client) Delete(ctx context.Context, name string) error {
	err := c.do(ctx, http.MethodDelete, path(name), nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// AwaitRunning returns when the connector's task runs. It returns an error if the task has failed.
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

// do sends a request. It repeats the request while the worker is between two states of its group,
// see settling. A 404 becomes [ErrNotFound].
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.once(ctx, method, path, in, out)
		if err == nil || !settling(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// settling reports whether an error means that the same request succeeds soon: the worker answers
// 409 while its group rebalances.
func settling(err error) bool {
	return jsonhttp.StatusOf(err) == http.StatusConflict && !strings.Contains(err.Error(), "already exists")
}

func (c *Client) once(ctx context.Context, method, path string, in, out any) error {
	err := c.api.Call(ctx, method, path, nil, in, out)
	status := jsonhttp.StatusOf(err)
	switch {
	case err == nil:
		return nil
	case status == http.StatusNotFound && strings.HasPrefix(path, "/connectors/"):
		return fmt.Errorf("%s %s: %w", method, path, ErrNotFound)
	case status == http.StatusConflict && strings.Contains(err.Error(), "already exists"):
		return fmt.Errorf("%s %s: %w", method, path, ErrExists)
	case status == http.StatusInternalServerError && strings.Contains(err.Error(), "taskConfigGeneration"):
		return fmt.Errorf("%s %s: %w", method, path, errNeverRan)
	case status != 0:
		return fmt.Errorf("%s %s: Kafka Connect answers %d %s: %w", method, path, status, http.StatusText(status), err)
	}
	return fmt.Errorf("ask Kafka Connect: %w", err)
}
