package operator

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/retry"
)

// list answers GET /dead-letters.
func (a *api) list(r *http.Request) (any, error) {
	filter, err := filterOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	page, more, err := a.Store.List(r.Context(), a.Pool, filter)
	if err != nil {
		return nil, err
	}
	answer := struct {
		DeadLetters []summary  `json:"deadLetters"`
		Next        *uuid.UUID `json:"next,omitempty"`
	}{DeadLetters: make([]summary, 0, len(page))}
	for _, d := range page {
		s := summaryOf(d)
		s.ErrorMessage = firstLine(s.ErrorMessage)
		answer.DeadLetters = append(answer.DeadLetters, s)
	}
	if more {
		answer.Next = &page[len(page)-1].ID
	}
	return answer, nil
}

func filterOf(q url.Values) (retry.Filter, error) {
	f := retry.Filter{Status: retry.StatusOpen, Topic: q.Get("topic"), EventType: q.Get("type"), Class: q.Get("class")}
	if q.Has("status") {
		f.Status = retry.Status(q.Get("status"))
	}
	if f.Status == "all" {
		f.Status = ""
	}
	var err error
	switch {
	case q.Has("key") && q.Has("keyBase64"):
		return f, badParameter("keyBase64", "must not be given beside key")
	case q.Has("key"):
		f.Key = []byte(q.Get("key"))
	case q.Has("keyBase64"):
		if f.Key, err = base64.StdEncoding.DecodeString(q.Get("keyBase64")); err != nil {
			return f, badParameter("keyBase64", "must be base64")
		}
	}
	for name, at := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if !q.Has(name) {
			continue
		}
		if *at, err = time.Parse(time.RFC3339Nano, q.Get(name)); err != nil || at.UTC().Year() < 1 || at.UTC().Year() > 9999 {
			return f, badParameter(name, `must be a time in RFC 3339, like "2006-01-02T15:04:05Z"`)
		}
	}
	if q.Has("after") {
		if f.After, err = uuid.Parse(q.Get("after")); err != nil {
			return f, badParameter("after", "must be a UUID")
		}
	}
	f.Limit, err = limitOf(q)
	return f, err
}

// limitOf returns the length of the page asked for, which the document bounds.
func limitOf(q url.Values) (int, error) {
	if !q.Has("limit") {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 || n > retry.MaxList {
		return 0, badParameter("limit", "must be from 1 to %d", retry.MaxList)
	}
	return n, nil
}

// show answers GET /dead-letters/{id}.
func (a *api) show(r *http.Request) (any, error) {
	id, err := idOf(r)
	if err != nil {
		return nil, err
	}
	d, err := a.Store.Get(r.Context(), a.Pool, id)
	if err != nil {
		return nil, err
	}
	actions, err := a.Store.Actions(r.Context(), a.Pool, id)
	if err != nil {
		return nil, err
	}
	return a.detailOf(r.Context(), d, actions), nil
}

// decision is the body of a request to resubmit or discard.
type decision struct {
	Reason string `json:"reason"`
	DryRun bool   `json:"dryRun"`
}

// outcome is the answer to it.
type outcome struct {
	ID                uuid.UUID    `json:"id"`
	Status            retry.Status `json:"status"`
	Effect            bool         `json:"effect"`
	RetryID           *uuid.UUID   `json:"retryId,omitempty"`
	FollowersReleased *int64       `json:"followersReleased,omitempty"`
	Warnings          []string     `json:"warnings,omitempty"`
}

// request reads what resubmit and discard have in common.
func request(r *http.Request) (id uuid.UUID, actor string, d decision, err error) {
	if id, err = idOf(r); err != nil {
		return id, "", d, err
	}
	if actor, err = actorOf(r); err != nil {
		return id, "", d, err
	}
	if r.ContentLength != 0 { // the router has read the body, so the length is known
		d, err = httpapi.Decode[decision](r)
	}
	return id, actor, d, err
}

// resubmit answers POST /dead-letters/{id}/resubmit.
func (a *api) resubmit(r *http.Request) (any, error) {
	id, actor, req, err := request(r)
	if err != nil {
		return nil, err
	}
	d, err := a.Store.Get(r.Context(), a.Pool, id)
	if err != nil {
		return nil, err
	}
	done, err := a.Store.Resubmit(r.Context(), a.Pool, id, actor, req.Reason, req.DryRun)
	if err != nil {
		return nil, err
	}
	answer := outcome{ID: id, Status: done.Status, Effect: done.Effect}
	if done.RetryID != uuid.Nil {
		answer.RetryID = &done.RetryID
	}
	if done.Effect {
		answer.Warnings = a.warnings(r.Context(), d.Effective())
	}
	if done.Waits {
		answer.Warnings = append(answer.Warnings, "its key is parked by another record: it is tried when its turn comes")
	}
	a.did(r, req.DryRun, "dead letter resubmitted", id, actor, "effect", done.Effect, "reason", req.Reason, "retry_id", done.RetryID)
	return answer, nil
}

// discard answers POST /dead-letters/{id}/discard.
func (a *api) discard(r *http.Request) (any, error) {
	id, actor, req, err := request(r)
	if err != nil {
		return nil, err
	}
	done, err := a.Store.Discard(r.Context(), a.Pool, id, actor, req.Reason, req.DryRun)
	if err != nil {
		return nil, err
	}
	a.did(r, req.DryRun, "dead letter discarded", id, actor, "reason", req.Reason, "followers", done.Followers)
	return outcome{ID: id, Status: done.Status, Effect: done.Effect, FollowersReleased: &done.Followers}, nil
}
