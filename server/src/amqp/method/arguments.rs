//! The table notation of method arguments.

/// Declares a method's arguments as a struct in wire order, with its decoder.
///
/// `fields { .. } bits { .. } then { .. }`: up to eight bits share one octet, first bit lowest.
/// `@ type;` at the head is read and dropped: what AMQP 0-8 had there (tickets).
macro_rules! arguments {
    (
        $(#[$doc:meta])*
        $name:ident $(<$life:lifetime>)? {
            $(@ $skip_type:ty;)?
            $($field:ident: $type:ty),* $(,)?
        }
        $(bits { $($bit:ident),+ $(,)? })?
        $(then { $($tail:ident: $tail_type:ty),+ $(,)? })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct $name $(<$life>)? {
            $(pub(crate) $field: $type,)*
            $($(pub(crate) $bit: bool,)+)?
            $($(pub(crate) $tail: $tail_type,)+)?
        }

        impl $(<$life>)? $name $(<$life>)? {
            #[inline]
            #[allow(unused_variables, unused_mut, unused_assignments)]
            pub(crate) fn read(
                reader: &mut $crate::amqp::codec::reader::Reader $(<$life>)?,
            ) -> Result<Self, $crate::amqp::codec::reader::Malformed> {
                $(reader.take::<$skip_type>()?;)?
                $(let $field = reader.take::<$type>()?;)*
                $(
                    let mut octet = reader.take::<u8>()?;
                    $(
                        let $bit = octet & 1 != 0;
                        octet >>= 1;
                    )+
                )?
                $($(let $tail = reader.take::<$tail_type>()?;)+)?
                Ok(Self { $($field,)* $($($bit,)+)? $($($tail,)+)? })
            }
        }
    };
}

pub(crate) use arguments;
