package opstest

import (
	"encoding/json"
	"net/http"
	"time"

	"eventshop.example/ops/operators"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
)

// api answers a server's requests. It does not have holds and the relay's mode.
type api struct {
	*Server
	operatorapi.Unimplemented
}

func respond(w http.ResponseWriter, r *http.Request, answer any, err error) {
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, answer)
}

// letter returns a dead letter, after the end of its resubmission.
func (s *api) letter(id string) (*operators.Detail, error) {
	d := s.find(id)
	if d == nil {
		return nil, errs.New(errs.NotFound, "there is no dead letter %s", id)
	}
	if d.Status == operators.Resubmitted && s.Ends != nil {
		s.Ends(d)
	}
	return d, nil
}

// decided returns a dead letter that an operator decides on.
func (s *api) decided(id string) (*operators.Detail, error) {
	switch d := s.find(id); {
	case d == nil:
		return nil, errs.New(errs.NotFound, "there is no dead letter %s", id)
	case d.ID == s.Refuses:
		return nil, errs.New(errs.Internal, "refused")
	default:
		return d, nil
	}
}

func notOpen(d *operators.Detail) error {
	return errs.New(errs.Conflict, "dead letter %s is %s", d.ID, d.Status)
}

func (s *api) act(d *operators.Detail, actor, action, detail string) {
	d.Actions = append(d.Actions, operators.Action{At: time.Now(), Actor: actor, Action: operatorapi.ActionAction(action), Detail: detail})
}

func (s *api) ListDeadLetters(w http.ResponseWriter, r *http.Request, p operatorapi.ListDeadLettersParams) {
	page := operators.Page{DeadLetters: []operators.Summary{}}
	for _, d := range s.letters {
		d, _ = s.letter(d.ID)
		if !selects(p, d) || p.After != nil && d.ID <= *p.After {
			continue
		}
		if p.Limit != nil && len(page.DeadLetters) == int(*p.Limit) {
			page.Next = page.DeadLetters[*p.Limit-1].ID
			break
		}
		page.DeadLetters = append(page.DeadLetters, d.Summary)
	}
	respond(w, r, page, nil)
}

func selects(p operatorapi.ListDeadLettersParams, d *operators.Detail) bool {
	is := func(want *string, got string) bool { return want == nil || *want == got }
	after := func(bound *string) bool { // d is not older than the bound
		at, err := time.Parse(time.RFC3339Nano, *bound)
		return err == nil && !d.CreatedAt.Before(at)
	}
	status := operatorapi.ListDeadLettersParamsStatusOpen
	if p.Status != nil {
		status = *p.Status
	}
	return is(p.Topic, d.Topic) && is(p.Type, d.EventType) && is(p.Class, d.ErrorClass) && is(p.Key, d.KeyText()) &&
		(p.Since == nil || after(p.Since)) && (p.Until == nil || !after(p.Until)) &&
		(status == operatorapi.ListDeadLettersParamsStatusAll || operators.Status(status) == d.Status)
}

func (s *api) GetDeadLetter(w http.ResponseWriter, r *http.Request, id string) {
	d, err := s.letter(id)
	respond(w, r, d, err)
}

func (s *api) EditDeadLetter(w http.ResponseWriter, r *http.Request, id string, p operatorapi.EditDeadLetterParams) {
	d, err := s.edit(r, id, p.XOperator)
	respond(w, r, d, err)
}

func (s *api) edit(r *http.Request, id, actor string) (*operators.Detail, error) {
	d, err := s.decided(id)
	if err != nil {
		return nil, err
	}
	e, err := httpapi.Decode[operators.Edit](r)
	if err != nil {
		return nil, err
	}
	if d.Status != operators.Open {
		return nil, notOpen(d)
	}
	if len(e.Payload) > 0 {
		var fields map[string]json.RawMessage
		if json.Unmarshal(e.Payload, &fields) != nil || fields["orderId"] == nil {
			return nil, errs.Field("payload.orderId", "is required")
		}
	}
	after := *d
	edited := operators.Record{Key: e.Key, Payload: e.Payload, PayloadBase64: e.PayloadBase64}
	if e.KeyBase64 != nil {
		edited.KeyBase64 = *e.KeyBase64
	}
	if e.Headers != nil {
		edited.Headers = *e.Headers
	}
	for name, value := range e.SetHeaders {
		edited.Headers = append(edited.Headers, Text(name, value))
	}
	after.Edited, after.EditedRecord = true, &edited
	if e.Key != nil && *e.Key != d.KeyText() {
		after.Warnings = []string{"its key is not the event's key " + d.KeyText()}
	}
	answer := after
	if !e.DryRun {
		after.Warnings = nil
		*d = after
		s.act(d, actor, "edited", e.Note)
	}
	return &answer, nil
}

func (s *api) ResubmitDeadLetter(w http.ResponseWriter, r *http.Request, id string, p operatorapi.ResubmitDeadLetterParams) {
	in, err := httpapi.Decode[operatorapi.Resubmission](r)
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	d, err := s.decided(id)
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	if d.Status != operators.Open {
		respond(w, r, operators.Outcome{ID: d.ID, Status: d.Status}, nil)
		return
	}
	o := operators.Outcome{ID: d.ID, Status: operators.Resubmitted, Effect: true}
	if !in.DryRun {
		o.RetryID = ID(9999)
		d.Status = operators.Resubmitted
		s.act(d, p.XOperator, "resubmitted", in.Reason)
	}
	respond(w, r, o, nil)
}

func (s *api) DiscardDeadLetter(w http.ResponseWriter, r *http.Request, id string, p operatorapi.DiscardDeadLetterParams) {
	in, err := httpapi.Decode[operatorapi.Discard](r)
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	d, err := s.decided(id)
	if err == nil && d.Status != operators.Open {
		err = notOpen(d)
	}
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	if !in.DryRun {
		d.Status = operators.Discarded
		s.act(d, p.XOperator, "discarded", in.Reason)
	}
	respond(w, r, operators.Outcome{ID: d.ID, Status: operators.Discarded, Effect: true, FollowersReleased: &d.Followers}, nil)
}

func (s *api) DeadLetterStats(w http.ResponseWriter, r *http.Request) {
	st := operators.Stats{Group: s.Group, ByTopic: []operatorapi.TopicStats{}, ByType: []operatorapi.TypeStats{}}
	for _, d := range s.letters {
		switch d.Status {
		case operators.Open:
			if st.Open++; st.OldestOpen.IsZero() {
				st.OldestOpen = d.CreatedAt
			}
		case operators.Resubmitted:
			st.Resubmitted++
		}
	}
	if st.Open > 0 {
		st.ByType = append(st.ByType, operatorapi.TypeStats{EventType: "OrderCreated", ErrorClass: "internal", Open: st.Open})
	}
	for _, k := range s.Parked {
		if k.State == operators.Dead {
			st.ParkedKeys.Dead++
		} else {
			st.ParkedKeys.Retrying++
		}
		st.ParkedRecords += k.Followers
	}
	respond(w, r, st, nil)
}

func (s *api) ListParkedKeys(w http.ResponseWriter, r *http.Request, p operatorapi.ListParkedKeysParams) {
	answer := operatorapi.ParkedKeys{ParkedKeys: []operators.ParkedKey{}}
	for _, k := range s.Parked {
		if (p.Key == nil || *p.Key == k.KeyText()) && (p.Limit == nil || len(answer.ParkedKeys) < int(*p.Limit)) {
			answer.ParkedKeys = append(answer.ParkedKeys, k)
		}
	}
	respond(w, r, answer, nil)
}

// SkipRecord refuses offset 7, which has a dead letter.
func (s *api) SkipRecord(w http.ResponseWriter, r *http.Request, p operatorapi.SkipRecordParams) {
	in, err := httpapi.Decode[operatorapi.SkipRequest](r)
	if err == nil && in.Offset == 7 {
		err = errs.New(errs.Conflict, "record %s/%d/%d is dead letter %s", in.Topic, in.Partition, in.Offset, ID(7))
	}
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	k := operators.Skip{
		Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Reason: in.Reason,
		Actor: p.XOperator, AskedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	s.skips = append(s.skips, k)
	respond(w, r, k, nil)
}

func (s *api) ListSkips(w http.ResponseWriter, r *http.Request, _ operatorapi.ListSkipsParams) {
	respond(w, r, operatorapi.Skips{Skips: append([]operators.Skip{}, s.skips...)}, nil)
}

func (s *api) ListBreakers(w http.ResponseWriter, r *http.Request) {
	respond(w, r, operatorapi.Breakers{Breakers: append([]operators.Breaker{}, s.Breakers...)}, nil)
}

func (s *api) DescribeOutbox(w http.ResponseWriter, r *http.Request) { respond(w, r, s.Outbox, nil) }

func (s *api) RepublishOutbox(w http.ResponseWriter, r *http.Request, _ operatorapi.RepublishOutboxParams) {
	_, err := httpapi.Decode[operators.Selection](r)
	respond(w, r, operatorapi.Republished{Rows: s.Rows}, err)
}
