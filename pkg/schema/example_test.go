package schema_test

import (
	"context"
	"fmt"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// The event of two releases of a service, each in a package of its own in real life. Release 2 has
// added a field with a default, the one change that readers and writers of both releases survive.
type (
	releaseOne struct {
		Parcel string `avro:"parcel"`
	}
	releaseTwo struct {
		Parcel string `avro:"parcel"`
		Locker string `avro:"locker"`
	}
)

const (
	schemaOne = `{"type":"record","name":"lockers.v1.ParcelStored","fields":[{"name":"parcel","type":"string"}]}`
	schemaTwo = `{"type":"record","name":"lockers.v1.ParcelStored","fields":[
		{"name":"parcel","type":"string"},{"name":"locker","type":"string","default":"unknown"}]}`
)

func (releaseOne) EventType() string      { return "ParcelStored" }
func (releaseOne) AvroSchema() string     { return schemaOne }
func (e releaseOne) AggregateKey() string { return e.Parcel }
func (releaseTwo) EventType() string      { return "ParcelStored" }
func (releaseTwo) AvroSchema() string     { return schemaTwo }
func (e releaseTwo) AggregateKey() string { return e.Parcel }

// A reader of release 2 decodes what release 1 wrote, and the other way round. The value names the
// schema that it was written with, and the registry has it.
func ExampleCodec() {
	ctx := context.Background()
	registry, stop := schematest.New()
	defer stop()
	stored := event.Family{Topic: "parcels", AggregateType: "Parcel", Namespace: "lockers.v1"}
	codecOf := func(t event.Type) *schema.Codec {
		return schema.NewCodec(schema.NewClient(registry.URL), event.NewCatalogue(t))
	}
	typeOne, typeTwo := event.Describe[releaseOne](stored), event.Describe[releaseTwo](stored)
	one, two := codecOf(typeOne), codecOf(typeTwo)

	fmt.Println("two reads one:", schema.Compatible(schemaTwo, schemaOne), "- one reads two:", schema.Compatible(schemaOne, schemaTwo))

	old, err := one.Encode(ctx, releaseOne{Parcel: "p-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := two.Decode(ctx, typeTwo, old)
	fmt.Printf("%+v %v\n", e, err)

	recent, err := two.Encode(ctx, releaseTwo{Parcel: "p-2", Locker: "7"})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err = one.Decode(ctx, typeOne, recent)
	fmt.Printf("%+v %v\n", e, err)
	// Output:
	// two reads one: <nil> - one reads two: <nil>
	// &{Parcel:p-1 Locker:unknown} <nil>
	// &{Parcel:p-2} <nil>
}

// Each reason why data cannot be read has its place in the reader's schema.
func ExampleMismatches() {
	const (
		written = `{"type":"record","name":"lockers.v1.ParcelsMoved","fields":[
			{"name":"parcels","type":{"type":"array","items":{"type":"record","name":"Parcel","fields":[
				{"name":"weight","type":"long"}]}}}]}`
		read = `{"type":"record","name":"lockers.v1.ParcelsMoved","fields":[
			{"name":"parcels","type":{"type":"array","items":{"type":"record","name":"Parcel","fields":[
				{"name":"weight","type":"int"},{"name":"sender","type":"string"}]}}}]}`
	)
	found, err := schema.Mismatches(read, written)
	for _, m := range found {
		fmt.Println(m)
	}
	fmt.Println(err)
	// Output:
	// lockers.v1.ParcelsMoved/parcels[]/weight: long cannot be read as int
	// lockers.v1.ParcelsMoved/parcels[]/sender: the writer has no such field, and it has no default
	// <nil>
}

// A topic that keeps its records for ever needs versions that read each other.
func ExampleLevel_Check() {
	earlier := []schema.Version{{Version: 1, Schema: schemaTwo}}
	const next = `{"type":"record","name":"lockers.v1.ParcelStored","fields":[{"name":"locker","type":"string","default":"unknown"}]}`
	for _, topic := range []string{"parcels", "parcels.events"} {
		level := schema.LevelOf(topic)
		violations, err := level.Check(next, earlier)
		fmt.Println(level, violations, err)
	}
	// Output:
	// BACKWARD [] <nil>
	// FULL_TRANSITIVE [version 1 cannot read data of the new schema: lockers.v1.ParcelStored/parcel: the writer has no such field, and it has no default] <nil>
}
