// Package sample is a contract for tests of the kit: events of a company that runs parcel lockers,
// with the same variety as a real contract (texts, numbers, times, records, lists of records,
// defaults, several topics, a topic that expires). The kit's tests use it so that no package of the
// kit depends on the contract of the system that it is part of.
//
// scripts/generate generates the types from schemas/*.avsc. A package with a contract of its own
// looks the same.
package sample

import (
	"time"

	"eventshop.example/pkg/event"
)

// Names of the topics. The key of every record is the parcel id.
const (
	TopicParcelEvents        = "parcel.events"
	TopicDoorEvents          = "door.events"
	TopicLockerEvents        = "locker.events"
	TopicParcelNotifications = "parcel.notifications"
)

// Topics returns the topics that carry the events.
func Topics() []event.Topic {
	forever := map[string]string{
		"cleanup.policy":  "delete",
		"retention.ms":    "-1",
		"retention.bytes": "-1",
	}
	return []event.Topic{
		event.NewTopic(TopicParcelEvents, forever),
		event.NewTopic(TopicDoorEvents, forever),
		event.NewTopic(TopicLockerEvents, forever),
		event.NewTopic(TopicParcelNotifications, event.Expiring(24*time.Hour)), // longer than any test
	}
}

// Catalogue returns all event types.
func Catalogue() event.Catalogue {
	parcel := event.Family{Topic: TopicParcelEvents, AggregateType: "Parcel", Namespace: "lockers.parcel.v1"}
	door := event.Family{Topic: TopicDoorEvents, AggregateType: "Door", Namespace: "lockers.door.v1"}
	locker := event.Family{Topic: TopicLockerEvents, AggregateType: "Reservation", Namespace: "lockers.locker.v1"}
	notifications := event.Family{Topic: TopicParcelNotifications, AggregateType: "Parcel", Namespace: "lockers.parcel.v1"}

	return event.NewCatalogue(
		event.Describe[ParcelAccepted](parcel),
		event.Describe[ParcelLabelled](parcel),
		event.Describe[ParcelMoved](parcel),
		event.Describe[ParcelCollected](parcel),
		event.Describe[ParcelReturned](parcel),

		event.Describe[DoorJammed](door),

		event.Describe[LockersReserved](locker),
		event.Describe[LockersFull](locker),

		event.Describe[ParcelNoted](notifications),
	)
}

// TypeOf returns the catalogue's entry of a generated type, as [event.TypeOf] does.
func TypeOf[T event.Event]() event.Type { return event.TypeOf[T](Catalogue()) }
