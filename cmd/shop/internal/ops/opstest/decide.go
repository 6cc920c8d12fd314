package opstest

import (
	"encoding/json"
	"net/http"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
)

func (s *Server) act(d *ops.Detail, r *http.Request, action, detail string) {
	d.Actions = append(d.Actions, ops.Action{At: time.Now(), Actor: r.Header.Get("X-Operator"), Action: action, Detail: detail})
}

func (s *Server) edit(r *http.Request) (any, error) {
	d, err := s.letter(r)
	if err != nil {
		return nil, err
	}
	var e ops.Edit
	if err := body(r, &e); err != nil {
		return nil, err
	}
	if d.Status != ops.Open {
		return nil, refuse(409, "dead letter %s is %s", d.ID, d.Status)
	}
	if len(e.Payload) > 0 {
		var fields map[string]json.RawMessage
		if json.Unmarshal(e.Payload, &fields) != nil || fields["orderId"] == nil {
			return nil, &ops.Problem{Status: 422, Title: "Unprocessable Entity", Errors: []ops.Fault{{Field: "payload.orderId", Detail: "is required"}}}
		}
	}
	after := *d
	after.Edited, after.EditedRecord = true, &ops.EditedRecord{Record: e.Record}
	for name, value := range e.SetHeaders {
		after.EditedRecord.Headers = append(after.EditedRecord.Headers, Text(name, value))
	}
	if e.Key != nil && *e.Key != d.Key {
		after.Warnings = []string{"its key is not the event's key " + d.Key}
	}
	answer := after
	if !e.DryRun {
		after.Warnings = nil
		*d = after
		s.act(d, r, "edited", e.Note)
	}
	return &answer, nil
}

type decision struct {
	Reason string
	DryRun bool
}

func (s *Server) resubmit(r *http.Request) (any, error) {
	var in decision
	if err := body(r, &in); err != nil {
		return nil, err
	}
	d := s.find(r.PathValue("id"))
	switch {
	case d == nil:
		return nil, refuse(404, "there is no dead letter %s", r.PathValue("id"))
	case d.ID == s.Refuses:
		return nil, refuse(500, "internal error")
	case d.Status != ops.Open:
		return ops.Outcome{ID: d.ID, Status: d.Status}, nil
	}
	o := ops.Outcome{ID: d.ID, Status: ops.Resubmitted, Effect: true}
	if !in.DryRun {
		o.RetryID = ID(9999)
		d.Status = ops.Resubmitted
		s.act(d, r, "resubmitted", in.Reason)
	}
	return o, nil
}

func (s *Server) discard(r *http.Request) (any, error) {
	var in decision
	if err := body(r, &in); err != nil {
		return nil, err
	}
	d := s.find(r.PathValue("id"))
	switch {
	case d == nil:
		return nil, refuse(404, "there is no dead letter %s", r.PathValue("id"))
	case in.Reason == "":
		return nil, refuse(422, "reason is required")
	case d.Status != ops.Open:
		return nil, refuse(409, "dead letter %s is %s", d.ID, d.Status)
	}
	if !in.DryRun {
		d.Status = ops.Discarded
		s.act(d, r, "discarded", in.Reason)
	}
	return ops.Outcome{ID: d.ID, Status: ops.Discarded, Effect: true, FollowersReleased: d.Followers}, nil
}

func (s *Server) stats(*http.Request) (any, error) {
	st := ops.Stats{Group: s.Group, ByTopic: []ops.TopicStats{}, ByType: []ops.TypeStats{}}
	for _, d := range s.letters {
		switch d.Status {
		case ops.Open:
			if st.Open++; st.OldestOpen == nil {
				st.OldestOpen = &d.CreatedAt
			}
		case ops.Resubmitted:
			st.Resubmitted++
		}
	}
	if st.Open > 0 {
		st.ByType = append(st.ByType, ops.TypeStats{EventType: "OrderCreated", ErrorClass: "internal", Open: st.Open})
	}
	for _, k := range s.Parked {
		if k.State == ops.Dead {
			st.ParkedKeys.Dead++
		} else {
			st.ParkedKeys.Retrying++
		}
		st.ParkedRecords += k.Followers
	}
	return st, nil
}

// skip refuses offset 7, which has a dead letter.
func (s *Server) skip(r *http.Request) (any, error) {
	var k ops.Skip
	if err := body(r, &k); err != nil {
		return nil, err
	}
	if k.Offset == 7 {
		return nil, refuse(409, "record %s/%d/%d is dead letter %s", k.Topic, k.Partition, k.Offset, ID(7))
	}
	k.Actor, k.AskedAt = r.Header.Get("X-Operator"), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.skips = append(s.skips, k)
	return k, nil
}
