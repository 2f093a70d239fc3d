package author

func constraintBattery() *battery { return nil }
