package saga

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
)

// Coordinated is the orchestrator's view of an orchestrated saga.
type Coordinated struct {
	OrderID          string     `json:"orderId"`
	Definition       int        `json:"definition"` // version of the steps that it follows
	State            string     `json:"status"`
	Step             string     `json:"step"`             // "" if no command's answer is open
	Attempt          int        `json:"attempt"`          // how often the state's command was sent
	CompensationsDue []string   `json:"compensationsDue"` // commands, in the order in which they are sent
	DueAt            *time.Time `json:"dueAt,omitempty"`  // when the answer is late
	Attention        string     `json:"attention,omitempty"`
	Reason           string     `json:"reason,omitempty"` // why it turned back
	Detail           string     `json:"detail,omitempty"`
	Version          int64      `json:"version"` // commands sent
	StartedAt        time.Time  `json:"startedAt"`
	ChangedAt        time.Time  `json:"updatedAt"`
	Log              []LogLine  `json:"log,omitempty"` // oldest first; missing in lists
}

// LogLine is one line of a saga's log: an input, and what the orchestrator decided.
type LogLine struct {
	N         int       `json:"n"` // from 1
	At        time.Time `json:"at"`
	Input     string    `json:"input"`             // type of the event, "Command: unchanged", "Command: refused", DuePassed, Retry or Acknowledged
	EventID   string    `json:"eventId,omitempty"` // "" for DuePassed, Retry and Acknowledged
	Action    string    `json:"action"`            // apply, wait, compensate or refuse
	From      string    `json:"from"`
	To        string    `json:"to"`
	Command   string    `json:"command,omitempty"` // that was sent
	CommandID string    `json:"commandId,omitempty"`
	Detail    string    `json:"detail,omitempty"`
}

// Definition is one version of the steps of orchestrated sagas.
type Definition struct {
	Version int      `json:"version"`
	Steps   []string `json:"steps"`
	Newest  bool     `json:"newest"`  // of all that the orchestrator or a saga knows
	Begins  bool     `json:"begins"`  // new sagas begin under it, at the process that answers
	Running int64    `json:"running"` // sagas that have not ended
	Ended   int64    `json:"ended"`
	Drained bool     `json:"drained"` // no saga needs it to go on, and there is a newer one
}

// Ramp is the share of customers whose new orders are orchestrated.
type Ramp struct {
	OrchestratedPercent int       `json:"orchestratedPercent"` // 0 to 100
	Ready               bool      `json:"ready"`               // every participant knows both styles
	Reason              string    `json:"reason,omitempty"`    // why not
	ChangedAt           time.Time `json:"updatedAt"`
}

// Coordinated returns an order's saga with its log, or nil if the orchestrator has none. A shop of the
// release before has no orchestrator, and none of its orders has such a saga.
func (s *Shop) Coordinated(ctx context.Context, orderID string) (*Coordinated, error) {
	if s.orchestrator == nil {
		return nil, nil
	}
	var saga Coordinated
	if known, err := get(ctx, *s.orchestrator, "/sagas/", orderID, &saga); err != nil || !known {
		return nil, err
	}
	return &saga, nil
}

// Definitions returns the versions of the steps of orchestrated sagas, the oldest first.
func (s *Shop) Definitions(ctx context.Context) ([]Definition, error) {
	if s.orchestrator == nil {
		return nil, fmt.Errorf("this shop has no orchestrator")
	}
	var page struct{ Definitions []Definition }
	err := ask(ctx, *s.orchestrator, http.MethodGet, "/definitions", nil, nil, &page)
	return page.Definitions, err
}

// Ramp returns the share of orchestrated customers.
func (s *Shop) Ramp(ctx context.Context) (Ramp, error) { return s.style(ctx, http.MethodGet, nil) }

// SetRamp sets the share of orchestrated customers, in percent. The order service refuses more than 0
// with 409 while a process of a participant does not know both styles.
func (s *Shop) SetRamp(ctx context.Context, percent int) (Ramp, error) {
	return s.style(ctx, http.MethodPut, struct {
		OrchestratedPercent int `json:"orchestratedPercent"`
	}{percent})
}

// style asks the order service about the ramp. A process of the release before has no such path.
func (s *Shop) style(ctx context.Context, method string, in any) (r Ramp, err error) {
	err = ask(ctx, s.order, method, "/sagas/style", nil, in, &r)
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		err = fmt.Errorf("this order process does not know the styles of the saga, because it is of an earlier release: update it first (%w)", err)
	}
	return r, err
}

// hold returns what holds the saga, if it asks for attention.
func (c Coordinated) hold() (Hold, bool) {
	return Hold{Kind: Asks, Group: "orchestrator", Type: c.State, Detail: c.Attention, Attempts: c.Attempt}, c.Attention != ""
}

// coordinatedHolds finds the orchestrated sagas that ask for attention.
func (s *Shop) coordinatedHolds(ctx context.Context, key string, h *holds) {
	add := func(c Coordinated) {
		if hold, asks := c.hold(); asks {
			h.byOrder[c.OrderID] = append(h.byOrder[c.OrderID], hold)
			h.asking[c.OrderID] = true
		}
	}
	if s.orchestrator == nil {
		return
	}
	if key != "" {
		saga, err := s.Coordinated(ctx, key)
		switch {
		case err != nil:
			h.failed = append(h.failed, fmt.Errorf("orchestrator cannot be asked: %w", err))
		case saga != nil:
			add(*saga)
		}
		return
	}
	query := url.Values{"attention": {"true"}, "limit": {strconv.Itoa(operators.MaxPage)}}
	for {
		var page struct {
			Sagas      []Coordinated
			NextCursor string
		}
		if err := ask(ctx, *s.orchestrator, http.MethodGet, "/sagas", query, nil, &page); err != nil {
			h.failed = append(h.failed, fmt.Errorf("orchestrator cannot be asked: %w", err))
			return
		}
		for _, c := range page.Sagas {
			add(c)
		}
		if page.NextCursor == "" {
			return
		}
		query.Set("after", page.NextCursor)
	}
}

// attention is what a participant's view of an order says to a person, mostly that a record of the
// other style has come.
type attention struct{ Status, Attention string }

// participantHolds adds what inventory and shipping ask for attention with.
func (s *Shop) participantHolds(ctx context.Context, saga *Saga, bad *failures) {
	for _, p := range []struct {
		group, path string
		api         *jsonhttp.Client
	}{{"inventory", "/reservations/", &s.inventory}, {"shipping", "/shipments/", s.shipping}} {
		if p.api == nil {
			continue
		}
		var a attention
		if _, err := get(ctx, *p.api, p.path, saga.OrderID, &a); err != nil {
			bad.add(fmt.Errorf("%s cannot be asked: %w", p.group, err))
		} else if a.Attention != "" {
			saga.Holds = append(saga.Holds, Hold{Kind: Asks, Group: p.group, Type: a.Status, Detail: a.Attention})
		}
	}
}

// retryCommand has the command of an orchestrated saga sent again, if the saga asks for attention. The
// command has a new event id, and participants take it once more: each does what is left of it, or
// answers that nothing is. The idempotency key names the number of commands sent, so that two operators
// who see the same saga send one. A command that was sent again less than [grace] ago may still be
// answered, and is not sent once more.
func (s *Shop) retryCommand(ctx context.Context, orderID, actor string) ([]Step, error) {
	saga, err := s.Coordinated(ctx, orderID)
	if err != nil || saga == nil {
		return nil, err
	}
	hold, asks := saga.hold()
	if !asks {
		return nil, nil
	}
	step := Step{Hold: hold}
	if n := len(saga.Log); n > 0 && saga.Log[n-1].Input == "Retry" && s.now().Sub(saga.Log[n-1].At) < grace {
		last := saga.Log[n-1]
		step.What = fmt.Sprintf("left alone, %s was sent again %s ago, as event %s", last.Command, s.now().Sub(last.At).Round(time.Second), last.CommandID)
		return []Step{step}, nil
	}
	var after Coordinated
	step.Err = act(ctx, *s.orchestrator, "/sagas/"+url.PathEscape(orderID)+"/retry", fmt.Sprintf("saga-retry-%d", saga.Version), actor, nil, &after)
	switch {
	case step.Err == nil:
		step.Done, step.What = true, "its command is sent again"
		if n := len(after.Log); n > 0 && after.Log[n-1].CommandID != "" {
			last := after.Log[n-1]
			step.What = fmt.Sprintf("%s is sent again, as event %s", last.Command, last.CommandID)
		}
	case jsonhttp.StatusOf(step.Err) == http.StatusConflict:
		step.Err, step.What = nil, "left alone, its state "+saga.State+" has no command to send again; when it is settled, shop saga acknowledge ends it"
	default:
		step.What = "its command is not sent again"
	}
	return []Step{step}, nil
}
