package operator

import (
	"net/http"
	"time"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/retry"
)

// skip is a wish to have a record passed over, as JSON.
type skip struct {
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Actor     string     `json:"actor"`
	Reason    string     `json:"reason"`
	AskedAt   time.Time  `json:"askedAt"`
	SkippedAt *time.Time `json:"skippedAt,omitempty"`
}

func skipOf(k retry.Skip) skip {
	v := skip{k.Topic, k.Partition, k.Offset, k.Actor, k.Reason, k.AskedAt.UTC(), nil}
	if !k.SkippedAt.IsZero() {
		at := k.SkippedAt.UTC()
		v.SkippedAt = &at
	}
	return v
}

// skip answers POST /skips.
func (a *api) skip(r *http.Request) (any, error) {
	actor, err := actorOf(r)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Reason    string `json:"reason"`
	}](r)
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

// skips answers GET /skips.
func (a *api) skips(r *http.Request) (any, error) {
	limit, err := limitOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	all, err := a.Store.Skips(r.Context(), a.Pool, limit)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Skips []skip `json:"skips"`
	}{make([]skip, 0, len(all))}
	for _, k := range all {
		answer.Skips = append(answer.Skips, skipOf(k))
	}
	return answer, nil
}
