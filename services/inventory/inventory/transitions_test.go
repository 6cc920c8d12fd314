package inventory

import "testing"

// want is the table of Decide written a second time, cell by cell.
var want = map[State]map[Input]Decision{
	None: {
		OrderCreated:       {Wait, AwaitingPayment, NoEffect},
		PaymentCompleted:   {Wait, AwaitingItems, NoEffect},
		PaymentFailed:      {Compensate, Cancelled, NoEffect},
		PaymentVoided:      {Compensate, Cancelled, NoEffect},
		ShipmentFailed:     {Compensate, Cancelled, NoEffect},
		ShipmentCancelled:  {Compensate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, None, NoEffect},
		ReserveInventory:   {Apply, Reserved, Reserve},
		ReleaseInventory:   {Compensate, Cancelled, NoEffect},
	},
	AwaitingPayment: {
		OrderCreated:       {Duplicate, AwaitingPayment, NoEffect},
		PaymentCompleted:   {Apply, Reserved, Reserve},
		PaymentFailed:      {Compensate, Cancelled, NoEffect},
		PaymentVoided:      {Compensate, Cancelled, NoEffect},
		ShipmentFailed:     {Compensate, Cancelled, NoEffect},
		ShipmentCancelled:  {Compensate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, AwaitingPayment, NoEffect},
		ReserveInventory:   {Apply, Reserved, Reserve},
		ReleaseInventory:   {Compensate, Cancelled, NoEffect},
	},
	AwaitingItems: {
		OrderCreated:       {Apply, Reserved, Reserve},
		PaymentCompleted:   {Duplicate, AwaitingItems, NoEffect},
		PaymentFailed:      {Compensate, Cancelled, NoEffect},
		PaymentVoided:      {Compensate, Cancelled, NoEffect},
		ShipmentFailed:     {Compensate, Cancelled, NoEffect},
		ShipmentCancelled:  {Compensate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, AwaitingItems, NoEffect},
		ReserveInventory:   {Apply, Reserved, Reserve},
		ReleaseInventory:   {Compensate, Cancelled, NoEffect},
	},
	Reserved: {
		OrderCreated:       {Duplicate, Reserved, NoEffect},
		PaymentCompleted:   {Duplicate, Reserved, NoEffect},
		PaymentFailed:      {Refuse, Reserved, NoEffect},
		PaymentVoided:      {Refuse, Reserved, NoEffect},
		ShipmentFailed:     {Compensate, Released, Release},
		ShipmentCancelled:  {Compensate, Released, Release},
		ShipmentDispatched: {Apply, Shipped, Ship},
		ReserveInventory:   {Duplicate, Reserved, NoEffect},
		ReleaseInventory:   {Compensate, Released, Release},
	},
	Rejected: {
		OrderCreated:       {Duplicate, Rejected, NoEffect},
		PaymentCompleted:   {Duplicate, Rejected, NoEffect},
		PaymentFailed:      {Duplicate, Rejected, NoEffect},
		PaymentVoided:      {Duplicate, Rejected, NoEffect},
		ShipmentFailed:     {Duplicate, Rejected, NoEffect},
		ShipmentCancelled:  {Duplicate, Rejected, NoEffect},
		ShipmentDispatched: {Refuse, Rejected, NoEffect},
		ReserveInventory:   {Duplicate, Rejected, NoEffect},
		ReleaseInventory:   {Duplicate, Rejected, NoEffect},
	},
	Released: {
		OrderCreated:       {Duplicate, Released, NoEffect},
		PaymentCompleted:   {Duplicate, Released, NoEffect},
		PaymentFailed:      {Duplicate, Released, NoEffect},
		PaymentVoided:      {Duplicate, Released, NoEffect},
		ShipmentFailed:     {Duplicate, Released, NoEffect},
		ShipmentCancelled:  {Duplicate, Released, NoEffect},
		ShipmentDispatched: {Refuse, Released, NoEffect},
		ReserveInventory:   {Duplicate, Released, NoEffect},
		ReleaseInventory:   {Duplicate, Released, NoEffect},
	},
	Cancelled: {
		OrderCreated:       {Refuse, Cancelled, NoEffect},
		PaymentCompleted:   {Refuse, Cancelled, NoEffect},
		PaymentFailed:      {Duplicate, Cancelled, NoEffect},
		PaymentVoided:      {Duplicate, Cancelled, NoEffect},
		ShipmentFailed:     {Duplicate, Cancelled, NoEffect},
		ShipmentCancelled:  {Duplicate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, Cancelled, NoEffect},
		ReserveInventory:   {Refuse, Cancelled, NoEffect},
		ReleaseInventory:   {Duplicate, Cancelled, NoEffect},
	},
	Shipped: {
		OrderCreated:       {Duplicate, Shipped, NoEffect},
		PaymentCompleted:   {Duplicate, Shipped, NoEffect},
		PaymentFailed:      {Refuse, Shipped, NoEffect},
		PaymentVoided:      {Refuse, Shipped, NoEffect},
		ShipmentFailed:     {Refuse, Shipped, NoEffect},
		ShipmentCancelled:  {Refuse, Shipped, NoEffect},
		ShipmentDispatched: {Duplicate, Shipped, NoEffect},
		ReserveInventory:   {Duplicate, Shipped, NoEffect},
		ReleaseInventory:   {Refuse, Shipped, NoEffect},
	},
}

func TestDecideAnswersEveryPair(t *testing.T) {
	for _, s := range States() {
		for _, in := range Inputs() {
			w, ok := want[s][in]
			if !ok {
				t.Errorf("no expectation for (%q, %s)", s, in)
				continue
			}
			if got := Decide(s, in); got != w {
				t.Errorf("Decide(%q, %s) = %+v, want %+v", s, in, got, w)
			}
		}
	}
}
