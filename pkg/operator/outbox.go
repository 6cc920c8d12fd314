package operator

import (
	"context"
	"net/http"
	"time"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/outbox/admin"
)

const (
	// republishWithin bounds the marking. It continues after the caller has left, because a large
	// table takes longer than the request: the mark is one transaction, and its repetition is
	// harmless.
	republishWithin = 10 * time.Minute
	// holdWithin bounds how long the relays may take to stop. The relays of frozen processes stop
	// when their leases expire.
	holdWithin = 20 * time.Second
)

// DescribeOutbox handles GET /outbox.
func (a *api) DescribeOutbox(w http.ResponseWriter, r *http.Request) {
	a.respond(w, r)(a.outbox(r.Context()))
}

func (a *api) outbox(ctx context.Context) (any, error) {
	d, err := a.Outbox.Describe(ctx)
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Outbox{
		Unpublished: d.Unpublished, OldestAgeSeconds: d.OldestAge, Published: d.Published, PublishedEstimated: d.PublishedEstimated,
		UnpublishedEstimated: d.UnpublishedEstimated,
		OldestKept:           value(d.OldestKept),
		Partitions:           make([]operatorapi.Partition, 0, len(d.Partitions)), Leases: make([]operatorapi.Lease, 0, len(d.Leases)),
		Holds: make([]operatorapi.Hold, 0, len(d.Holds)), Topics: make([]operatorapi.Backlog, 0, len(d.Topics)),
		Refused: make([]operatorapi.Refused, 0, len(d.Refused)),
	}
	for _, p := range d.Partitions {
		answer.Partitions = append(answer.Partitions, operatorapi.Partition{Name: p.Name, From: p.From, To: p.To, Rows: p.Rows, Bytes: p.Bytes})
	}
	for _, l := range d.Leases {
		answer.Leases = append(answer.Leases, operatorapi.Lease{Shard: l.Shard, Owner: l.Owner, Expires: l.Expires})
	}
	for _, h := range d.Holds {
		answer.Holds = append(answer.Holds, operatorapi.Hold{Name: operatorapi.HoldName(h.Name), Reason: h.Reason, Since: h.Since, Expires: value(h.Expires)})
	}
	for _, t := range d.Topics {
		answer.Topics = append(answer.Topics, operatorapi.Backlog{Topic: t.Topic, Unpublished: t.Unpublished, Published: t.Published})
	}
	for _, r := range d.Refused {
		answer.Refused = append(answer.Refused, operatorapi.Refused{
			Topic: r.Topic, Key: r.Key, WholeTopic: r.Whole, Reason: r.Reason, Since: r.Since, Attempts: int32(r.Attempts), NextTry: r.NextTry,
		})
	}
	return answer, nil
}

// RepublishOutbox handles POST /outbox/republish.
func (a *api) RepublishOutbox(w http.ResponseWriter, r *http.Request, p operatorapi.RepublishOutboxParams) {
	a.respond(w, r)(a.republish(r, p))
}

func (a *api) republish(r *http.Request, p operatorapi.RepublishOutboxParams) (any, error) {
	actor, err := actorOf(p.XOperator)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[operatorapi.Selection](r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), republishWithin)
	defer cancel()
	rows, err := a.Outbox.Republish(ctx, admin.Selection{Topics: in.Topics, Since: in.Since, Until: in.Until, DryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	if !in.DryRun {
		a.Logger.InfoContext(ctx, "outbox rows will be published again", "operator", actor, "rows", rows,
			"topics", in.Topics, "since", in.Since, "until", in.Until)
	}
	return operatorapi.Republished{Rows: rows}, nil
}

// HoldOutbox handles POST /outbox/hold.
func (a *api) HoldOutbox(w http.ResponseWriter, r *http.Request, p operatorapi.HoldOutboxParams) {
	a.respond(w, r)(nil, a.hold(r, p))
}

func (a *api) hold(r *http.Request, p operatorapi.HoldOutboxParams) error {
	actor, err := actorOf(p.XOperator)
	if err != nil {
		return err
	}
	in, err := httpapi.Decode[operatorapi.HoldRequest](r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), holdWithin)
	defer cancel()
	if err := a.Outbox.Hold(ctx, actor+": "+in.Reason); err != nil {
		return err
	}
	a.Logger.InfoContext(ctx, "outbox on hold", "operator", actor, "reason", in.Reason)
	return nil
}

// ReleaseOutbox handles POST /outbox/release.
func (a *api) ReleaseOutbox(w http.ResponseWriter, r *http.Request, p operatorapi.ReleaseOutboxParams) {
	a.respond(w, r)(nil, a.release(r.Context(), p))
}

func (a *api) release(ctx context.Context, p operatorapi.ReleaseOutboxParams) error {
	actor, err := actorOf(p.XOperator)
	if err != nil {
		return err
	}
	if err := a.Outbox.Release(ctx); err != nil {
		return err
	}
	a.Logger.InfoContext(ctx, "outbox released", "operator", actor)
	return nil
}
