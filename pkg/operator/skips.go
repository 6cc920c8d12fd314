package operator

import (
	"context"
	"net/http"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/retry"
)

func skipOf(k retry.Skip) operatorapi.Skip {
	return operatorapi.Skip{
		Topic: k.Topic, Partition: k.Partition, Offset: k.Offset, Actor: k.Actor, Reason: k.Reason,
		AskedAt: k.AskedAt.UTC(), SkippedAt: utc(k.SkippedAt),
	}
}

// SkipRecord handles POST /skips.
func (a *api) SkipRecord(w http.ResponseWriter, r *http.Request, p operatorapi.SkipRecordParams) {
	a.respond(w, r)(a.skip(r, p))
}

func (a *api) skip(r *http.Request, p operatorapi.SkipRecordParams) (any, error) {
	actor, err := actorOf(p.XOperator)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[operatorapi.SkipRequest](r)
	if err != nil {
		return nil, err
	}
	done, err := a.Store.Skip(r.Context(), a.Pool, retry.Place{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset}, actor, in.Reason)
	if err != nil {
		return nil, err
	}
	a.Logger.InfoContext(r.Context(), "record to be skipped", "operator", actor, "record", done.Place.String(), "reason", in.Reason)
	return skipOf(done), nil
}

// ListSkips handles GET /skips.
func (a *api) ListSkips(w http.ResponseWriter, r *http.Request, p operatorapi.ListSkipsParams) {
	a.respond(w, r)(a.skips(r.Context(), p))
}

func (a *api) skips(ctx context.Context, p operatorapi.ListSkipsParams) (any, error) {
	all, err := a.Store.Skips(ctx, a.Pool, limitOf(p.Limit))
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Skips{Skips: make([]operatorapi.Skip, 0, len(all))}
	for _, k := range all {
		answer.Skips = append(answer.Skips, skipOf(k))
	}
	return answer, nil
}
