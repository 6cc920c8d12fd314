package operator

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/retry"
)

// ListDeadLetters handles GET /dead-letters.
func (a *api) ListDeadLetters(w http.ResponseWriter, r *http.Request, p operatorapi.ListDeadLettersParams) {
	a.respond(w, r)(a.list(r.Context(), p))
}

func (a *api) list(ctx context.Context, p operatorapi.ListDeadLettersParams) (any, error) {
	filter, err := filterOf(p)
	if err != nil {
		return nil, err
	}
	page, more, err := a.Store.List(ctx, a.Pool, filter)
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Page{DeadLetters: make([]operatorapi.Summary, 0, len(page))}
	for _, d := range page {
		s := summaryOf(d)
		s.ErrorMessage = firstLine(s.ErrorMessage)
		answer.DeadLetters = append(answer.DeadLetters, s)
	}
	if more {
		answer.Next = page[len(page)-1].ID.String()
	}
	return answer, nil
}

func filterOf(p operatorapi.ListDeadLettersParams) (retry.Filter, error) {
	f := retry.Filter{Status: retry.StatusOpen, Topic: value(p.Topic), EventType: value(p.Type), Class: value(p.Class), Limit: limitOf(p.Limit)}
	if p.Status != nil {
		f.Status = retry.Status(*p.Status)
	}
	if f.Status == retry.Status(operatorapi.ListDeadLettersParamsStatusAll) {
		f.Status = ""
	}
	var err error
	if f.Key, err = keyOf(p.Key, p.KeyBase64); err != nil {
		return f, err
	}
	for _, bound := range []struct {
		name string
		text *string
		at   *time.Time
	}{{"since", p.Since, &f.Since}, {"until", p.Until, &f.Until}} {
		if bound.text == nil {
			continue
		}
		if *bound.at, err = time.Parse(time.RFC3339Nano, *bound.text); err != nil || bound.at.UTC().Year() < 1 || bound.at.UTC().Year() > 9999 {
			return f, badParameter(bound.name, `must be a time in RFC 3339, like "2006-01-02T15:04:05Z"`)
		}
	}
	if p.After != nil {
		if f.After, err = uuid.Parse(*p.After); err != nil {
			return f, badParameter("after", "must be a UUID")
		}
	}
	return f, nil
}

// keyOf returns the key that a request selects by, in one of two forms; nil when it has neither.
func keyOf(text, inBase64 *string) ([]byte, error) {
	switch {
	case text != nil && inBase64 != nil:
		return nil, badParameter("keyBase64", "must not be given beside key")
	case text != nil:
		return []byte(*text), nil
	case inBase64 != nil:
		key, err := base64.StdEncoding.DecodeString(*inBase64)
		if err != nil {
			return nil, badParameter("keyBase64", "must be base64")
		}
		return key, nil
	}
	return nil, nil
}

// limitOf returns the requested length of the page. The document bounds it.
func limitOf(n *int32) int {
	if n == nil {
		return defaultLimit
	}
	return int(*n)
}

// value returns the value of an optional parameter, or the zero value without one.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// GetDeadLetter handles GET /dead-letters/{id}.
func (a *api) GetDeadLetter(w http.ResponseWriter, r *http.Request, id operatorapi.ID) {
	a.respond(w, r)(a.show(r.Context(), id))
}

func (a *api) show(ctx context.Context, text operatorapi.ID) (any, error) {
	id, err := idOf(text)
	if err != nil {
		return nil, err
	}
	d, err := a.Store.Get(ctx, a.Pool, id)
	if err != nil {
		return nil, err
	}
	actions, err := a.Store.Actions(ctx, a.Pool, id)
	if err != nil {
		return nil, err
	}
	return a.detailOf(ctx, d, actions), nil
}

// subject returns the dead letter and the operator of a request.
func subject(text operatorapi.ID, name operatorapi.Operator) (id uuid.UUID, actor string, err error) {
	if id, err = idOf(text); err != nil {
		return id, "", err
	}
	actor, err = actorOf(name)
	return id, actor, err
}

// ResubmitDeadLetter handles POST /dead-letters/{id}/resubmit.
func (a *api) ResubmitDeadLetter(w http.ResponseWriter, r *http.Request, id operatorapi.ID, p operatorapi.ResubmitDeadLetterParams) {
	a.respond(w, r)(a.resubmit(r, id, p))
}

func (a *api) resubmit(r *http.Request, text operatorapi.ID, p operatorapi.ResubmitDeadLetterParams) (any, error) {
	ctx := r.Context()
	id, actor, err := subject(text, p.XOperator)
	if err != nil {
		return nil, err
	}
	var in operatorapi.Resubmission
	if r.ContentLength != 0 { // the router has read the body, so the length is known
		if in, err = httpapi.Decode[operatorapi.Resubmission](r); err != nil {
			return nil, err
		}
	}
	d, err := a.Store.Get(ctx, a.Pool, id)
	if err != nil {
		return nil, err
	}
	done, err := a.Store.Resubmit(ctx, a.Pool, id, actor, in.Reason, in.DryRun)
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Outcome{ID: id.String(), Status: operatorapi.Status(done.Status), Effect: done.Effect, RetryID: idText(done.RetryID)}
	if done.Effect {
		answer.Warnings = a.warnings(ctx, d.Effective())
	}
	if done.Waits {
		answer.Warnings = append(answer.Warnings, "its key is parked by another record: it is tried when its turn comes")
	}
	a.did(ctx, in.DryRun, "dead letter resubmitted", id, actor, "effect", done.Effect, "reason", in.Reason, "retryId", done.RetryID)
	return answer, nil
}

// DiscardDeadLetter handles POST /dead-letters/{id}/discard.
func (a *api) DiscardDeadLetter(w http.ResponseWriter, r *http.Request, id operatorapi.ID, p operatorapi.DiscardDeadLetterParams) {
	a.respond(w, r)(a.discard(r, id, p))
}

func (a *api) discard(r *http.Request, text operatorapi.ID, p operatorapi.DiscardDeadLetterParams) (any, error) {
	id, actor, err := subject(text, p.XOperator)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[operatorapi.Discard](r)
	if err != nil {
		return nil, err
	}
	done, err := a.Store.Discard(r.Context(), a.Pool, id, actor, in.Reason, in.DryRun)
	if err != nil {
		return nil, err
	}
	a.did(r.Context(), in.DryRun, "dead letter discarded", id, actor, "reason", in.Reason, "followers", done.Followers)
	return operatorapi.Outcome{ID: id.String(), Status: operatorapi.Status(done.Status), Effect: done.Effect, FollowersReleased: &done.Followers}, nil
}
