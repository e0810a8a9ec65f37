//! What a registry holds: a name, an example, and two function pointers.

use crate::spec::{Node, SpecError};
use crate::stage::{
    AnyStage, Augment, AugmentStage, MapStage, Mix, MixStage, Order, OrderStage, Stage,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// How a step behaves, for help texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Draws nothing.
    Stage,
    /// Draws, then applies.
    Augment,
    /// Draws, then applies with the row of another subject.
    Mix,
    /// Orders subjects.
    Order,
}

/// A step as read from its node, or every mistake in it.
pub type Parsed = Result<Box<dyn AnyStage>, Vec<SpecError>>;

/// One registered step.
#[derive(Clone, Copy)]
pub struct StageEntry {
    /// Key in YAML.
    pub name: &'static str,
    /// Example of its parameters.
    pub example: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Reads its parameters; every mistake in them at once.
    pub parse: fn(Node<'_>) -> Parsed,
    /// JSON Schema of its parameters, with the fields' documentation.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl StageEntry {
    /// Registers a [`Stage`].
    pub const fn stage<S: Stage>() -> Self {
        Self {
            name: S::NAME,
            example: S::EXAMPLE,
            kind: Kind::Stage,
            parse: |node| node.read::<S>().map(|s| Box::new(MapStage(s)) as _),
            schema: <S as JsonSchema>::json_schema,
        }
    }

    /// Registers an [`Augment`].
    pub const fn augment<A: Augment>() -> Self {
        Self {
            name: A::NAME,
            example: A::EXAMPLE,
            kind: Kind::Augment,
            parse: |node| node.read::<A>().map(|a| Box::new(AugmentStage(a)) as _),
            schema: <A as JsonSchema>::json_schema,
        }
    }

    /// Registers a [`Mix`].
    pub const fn mix<M: Mix>() -> Self {
        Self {
            name: M::NAME,
            example: M::EXAMPLE,
            kind: Kind::Mix,
            parse: |node| node.read::<M>().map(|m| Box::new(MixStage(m)) as _),
            schema: <M as JsonSchema>::json_schema,
        }
    }

    /// Registers an [`Order`].
    pub const fn order<O: Order>() -> Self {
        Self {
            name: O::NAME,
            example: O::EXAMPLE,
            kind: Kind::Order,
            parse: |node| node.read::<O>().map(|o| Box::new(OrderStage(o)) as _),
            schema: <O as JsonSchema>::json_schema,
        }
    }
}
