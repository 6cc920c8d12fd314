package operator

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
)

// republishWithin is what marking may take. It goes on when the caller has left, whose
// request a large table outlives: the mark is one transaction, and its repetition is
// harmless.
const republishWithin = 10 * time.Minute

// selection is the body of POST /outbox/republish.
type selection struct {
	Topics []string  `json:"topics"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	DryRun bool      `json:"dryRun"`
}

// outbox answers GET /outbox.
func (a *api) outbox(r *http.Request) (any, error) {
	return a.Outbox.Describe(r.Context(), a.Pool)
}

// republish answers POST /outbox/republish.
func (a *api) republish(r *http.Request) (any, error) {
	actor, err := actorOf(r)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[selection](r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), republishWithin)
	defer cancel()
	rows, err := a.Outbox.Republish(ctx, a.Pool, outbox.Selection{Topics: in.Topics, Since: in.Since, Until: in.Until, DryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	if !in.DryRun {
		a.Logger.InfoContext(ctx, "outbox rows will be published again", "operator", actor, "rows", rows,
			"topics", in.Topics, "since", in.Since, "until", in.Until)
	}
	return struct {
		Rows int64 `json:"rows"`
	}{rows}, nil
}

// holdWithin is what the relays may take to stop: those of processes that are frozen stop
// when their leases run out.
const holdWithin = 20 * time.Second

// hold answers POST /outbox/hold.
func (a *api) hold(r *http.Request) (any, error) {
	actor, err := actorOf(r)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[struct {
		Reason string `json:"reason"`
	}](r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), holdWithin)
	defer cancel()
	if err := a.Outbox.Hold(ctx, a.Pool, actor+": "+in.Reason); err != nil {
		return nil, err
	}
	a.Logger.InfoContext(ctx, "outbox on hold", "operator", actor, "reason", in.Reason)
	return nil, nil
}

// relay answers GET /outbox/relay.
func (a *api) relay(r *http.Request) (any, error) {
	var upTo int64
	if text := r.URL.Query().Get("upTo"); text != "" {
		var err error
		if upTo, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, badParameter("upTo", "must be a number")
		}
	}
	return a.Outbox.RelayMode(r.Context(), a.Pool, upTo)
}

// setRelay answers PUT /outbox/relay.
func (a *api) setRelay(r *http.Request) (any, error) {
	actor, err := actorOf(r)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[struct {
		Mode outbox.Mode `json:"mode"`
		Slot string      `json:"slot"`
	}](r)
	if err != nil {
		return nil, err
	}
	if err := a.Outbox.SetRelayMode(r.Context(), a.Pool, in.Mode, in.Slot, actor); err != nil {
		return nil, err
	}
	a.Logger.InfoContext(r.Context(), "outbox relay changed", "operator", actor, "mode", in.Mode, "slot", in.Slot)
	return nil, nil
}

// release answers POST /outbox/release.
func (a *api) release(r *http.Request) (any, error) {
	actor, err := actorOf(r)
	if err != nil {
		return nil, err
	}
	if err := a.Outbox.Release(r.Context(), a.Pool); err != nil {
		return nil, err
	}
	a.Logger.InfoContext(r.Context(), "outbox released", "operator", actor)
	return nil, nil
}
