package operators

import (
	"time"

	"eventshop.example/pkg/operator/operatorapi"
)

// The types of the operators' API. pkg/operator/openapi.yaml describes them.
type (
	Page      = operatorapi.Page
	Summary   = operatorapi.Summary
	Detail    = operatorapi.Detail
	Record    = operatorapi.Record
	Header    = operatorapi.Header
	Action    = operatorapi.Action
	Edit      = operatorapi.Edit
	Outcome   = operatorapi.Outcome
	Status    = operatorapi.Status
	Stats     = operatorapi.Stats
	ParkedKey = operatorapi.ParkedKey
	Skip      = operatorapi.Skip
	Breaker   = operatorapi.Breaker
	Outbox    = operatorapi.Outbox
	Selection = operatorapi.Selection
	Relay     = operatorapi.Relay
	RelayMode = operatorapi.RelayMode

	ProjectionVersion = operatorapi.ProjectionVersion
	ProjectionDiff    = operatorapi.ProjectionDiff
)

// Statuses of a dead letter.
const (
	Open        = operatorapi.StatusOpen        // without a decision
	Resubmitted = operatorapi.StatusResubmitted // on its way through the retry topic
	Resolved    = operatorapi.StatusResolved    // a resubmission was handled
	Discarded   = operatorapi.StatusDiscarded   // given up for good, with a reason

	AnyStatus = Status(operatorapi.ListDeadLettersParamsStatusAll) // in filters
)

// What relays the events of a group.
const (
	Polling  = operatorapi.RelayModePolling
	Debezium = operatorapi.RelayModeDebezium
)

// States of a parked key.
const (
	Retrying = operatorapi.ParkedKeyStateRetrying // its head will be retried without an operator
	Dead     = operatorapi.ParkedKeyStateDead     // its head is a dead letter: an operator has to decide
)

// States of a version of a read model.
const (
	Waiting   = operatorapi.ProjectionVersionStateWaiting   // nothing feeds it yet
	Filling   = operatorapi.ProjectionVersionStateFilling   // it reads the topics from offset 0
	Following = operatorapi.ProjectionVersionStateFollowing // it is up to date, and no query reads it
	Live      = operatorapi.ProjectionVersionStateLive      // queries read it
	Failed    = operatorapi.ProjectionVersionStateFailed    // it cannot be filled
	Dropped   = operatorapi.ProjectionVersionStateDropped   // its tables are empty
)

// Filter selects dead letters. Empty fields select all, an empty status the open ones.
type Filter struct {
	Status                  Status
	Topic, Type, Class, Key string
	Since, Until            time.Time
}

func (f Filter) params(after string, limit int) *operatorapi.ListDeadLettersParams {
	return &operatorapi.ListDeadLettersParams{
		Status: optional(operatorapi.ListDeadLettersParamsStatus(f.Status)),
		Topic:  optional(f.Topic), Type: optional(f.Type), Class: optional(f.Class), Key: optional(f.Key),
		Since: optional(stamp(f.Since)), Until: optional(stamp(f.Until)),
		After: optional(after), Limit: optional(int32(limit)),
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
