package author

func constraintBattery() *battery { return nil }
func archBattery() *battery       { return nil }
